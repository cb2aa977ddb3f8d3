package caches_test

import (
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
