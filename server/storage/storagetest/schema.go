package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// RunSchema runs the suite of databases that a newer program has been at.
// execute runs one SQL statement on the database of an address, as that program
// would.
func RunSchema(t *testing.T, newDatabase func(testing.TB) (address string), open Open, execute func(t testing.TB, address, statement string)) {
	for _, test := range []struct {
		name    string
		newer   []string // what the newer program did
		refused string   // "": the database is used
	}{
		{"AnAdditiveStepLeavesOlderProgramsTheDatabase",
			[]string{"CREATE TABLE of_tomorrow (id TEXT)", "UPDATE schema_version SET version = version + 1"}, ""},
		{"ABreakingStepRefusesOlderPrograms",
			[]string{"UPDATE schema_version SET version = version + 1, oldest = version + 1"}, "which programs that know version 3 or later may use"},
		{"AnAdditiveStepAfterABreakingOneRefusesThemToo",
			[]string{"UPDATE schema_version SET version = version + 2, oldest = version + 1"}, "which programs that know version 3 or later may use"},
		{"ANewerDatabaseThatDoesNotSayRefusesOlderPrograms",
			[]string{"ALTER TABLE schema_version DROP COLUMN oldest", "UPDATE schema_version SET version = version + 1"}, "which programs that know version 3 or later may use"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := database{address: newDatabase(t), open: open}
			running := d.server(t)
			before, err := running.Status(context.Background())
			must(t, err)
			refused := strings.ReplaceAll(test.refused, "version 3", fmt.Sprint("version ", before.Schema+1))
			for _, statement := range test.newer {
				execute(t, d.address, statement)
			}
			late, err := open(context.Background(), d.address, storage.Options{Clock: clock.Real()})
			if refused != "" {
				wantKind(t, err, problem.Precondition)
				var p *problem.Error
				if !strings.Contains(err.Error(), refused) || !strings.Contains(err.Error(), fmt.Sprint("versions up to ", before.Schema)) || !errors.As(err, &p) || p.Hint == "" {
					t.Errorf("the refusal names too little: %v", err)
				}
				return
			}
			must(t, err)
			defer func() { _ = late.Close() }()
			realm, _ := newRealm(t, late, "written-by-the-older")
			view(t, running, func(ctx context.Context, tx storage.Tx) error {
				_, err := tx.Realms.Get(ctx, "", realm.ID)
				return err
			})
			if after, err := late.Status(context.Background()); err != nil || after.Schema != before.Schema+1 {
				t.Errorf("the schema is %d after an older program (%v), want the newer one's %d", after.Schema, err, before.Schema+1)
			}
		})
	}
}
