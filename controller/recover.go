package controller

import (
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Recover makes the controller in dir, which must not be running, the only one
// of its domain: the way back when a majority of the controllers is lost for
// good. It keeps what its own log holds; what only the lost ones knew is lost, so
// run it on the controller that was up to date last. Start it then as usual, and
// add new controllers in new directories; the lost ones must never come back.
func Recover(dir string, log zerolog.Logger) (name string, err error) {
	in, known, err := loadInstallation(dir)
	if err != nil {
		return "", err
	}
	if !known {
		return "", problem.NotFound.Errorf("cannot recover: there is no controller in %s", dir)
	}
	// Where it listens it says itself when it starts.
	alone := []consensus.Member{{Name: in.Name, Address: in.Name}}
	return in.Name, consensus.Recover(consensus.Config{
		Name: in.Name, Dir: filepath.Join(dir, "log"), Machine: replica.Adapt(statemachine.New()), Key: in.LogKey, Log: log,
	}, alone)
}
