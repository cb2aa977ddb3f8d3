// Package storagetest is the suite of the storage contract: every driver and
// every decorator passes it. It is never compiled into the product.
package storagetest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Open opens a server's store on the database of an address.
type Open func(ctx context.Context, address string, o storage.Options) (storage.Store, error)

// Run runs the suite. newDatabase makes an empty database, gone when the test
// ends, and returns its address; the test binary's TestMain calls Main with the
// same open.
func Run(t *testing.T, newDatabase func(testing.TB) (address string), open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, database)
	}{
		{"DocumentsAreFoundByIDAndName", testDocuments},
		{"DocumentsComeBackAsTheyWent", testLossless},
		{"AnOldVersionIsAConflict", testVersions},
		{"NamesAreUniqueAmongSiblings", testNames},
		{"AFailedUpdateLeavesNothing", testRollback},
		{"AnUpdateIsSeenByTheNextView", testReadYourWrite},
		{"DeletingDeletesWhatIsInside", testCascade},
		{"ADeletedRoleIsNobodysAnyMore", testForget},
		{"UsersAreFoundWhateverTheCase", testUsers},
		{"UserSearch", testUserSearch},
		{"UserSessionsAreKeptWithTheirClients", testUserSessions},
		{"ExpiredSessionsAreNotFound", testExpiry},
		{"TouchesAreSeenAtOnceAndWrittenSoon", testTouch},
		{"ConcurrentChangesOfTwoServersAreNotLost", testConcurrentChanges},
		{"ASingleUseObjectIsTakenOnce", testSingleUse},
		{"ParallelFailuresAreAllCounted", testFailures},
		{"ChangeSessionsIsAllOrNothing", testChangeSessions},
		{"AcknowledgedWritesSurviveACrash", testCrash},
		{"ManyWritesShareACommit", testGroupCommit},
		{"ALoneWriteDoesNotWait", testLoneWrite},
		{"ALockIsHeldByOne", testLock},
		{"ADeadHoldersLockIsFree", testDeadHolder},
		{"ManyServersBootOnAnEmptyDatabase", testBoot},
		{"EventsAreFoundAndCleared", testEvents},
		{"AdminEventsAreFoundByTheirResource", testAdminEvents},
		{"WaitingForAConnectionEnds", testWaitingForAConnection},
		{"AClosedStoreRefuses", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, database{address: newDatabase(t), open: open})
		})
	}
}

// Main is the test binary's main: it runs the tests or, as a child of one of
// them, holds a lock until it is killed.
func Main(m *testing.M, open Open) {
	address := os.Getenv(childAddress)
	if address == "" {
		os.Exit(m.Run())
	}
	os.Exit(holdLock(address, open))
}

type database struct {
	address string
	open    Open
}

// server opens one more server's store.
func (d database) server(t *testing.T, change ...func(*storage.Options)) storage.Store {
	t.Helper()
	o := storage.Options{Clock: clock.Real(), CommitRate: -1, Holder: "server-of-" + strings.ToLower(t.Name()[max(0, len(t.Name())-20):])}
	for _, c := range change {
		c(&o)
	}
	s, err := d.open(context.Background(), d.address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func update(t *testing.T, s storage.Store, fn func(ctx context.Context, tx storage.Tx) error) {
	t.Helper()
	ctx := context.Background()
	if err := s.Update(ctx, func(tx storage.Tx) error { return fn(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s storage.Store, fn func(ctx context.Context, tx storage.Tx) error) {
	t.Helper()
	ctx := context.Background()
	if err := s.View(ctx, func(tx storage.Tx) error { return fn(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
}

// newRealm makes a realm with the client "app".
func newRealm(t *testing.T, s storage.Store, name string) (*model.Realm, *model.Client) {
	t.Helper()
	realm, client := &model.Realm{Name: name, Enabled: true}, &model.Client{ClientID: "app"}
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Realms.Create(ctx, "", realm); err != nil {
			return err
		}
		return tx.Clients.Create(ctx, realm.ID, client)
	})
	return realm, client
}

func wantKind(t *testing.T, err error, kind problem.Kind) {
	t.Helper()
	if !problem.Is(err, kind) {
		t.Fatalf("error is %v, want one of kind %s", err, kind)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok: at once on an idle machine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	real := clock.Real()
	for end := real.Now().Add(time.Minute); real.Now().Before(end); {
		if ok() {
			return
		}
		_ = clock.Sleep(context.Background(), real, 5*time.Millisecond)
	}
	t.Fatalf("not within a minute: %s", what)
}
