package localstate

import (
	"encoding/json"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Snapshot is what the host last accepted from a controller.
type Snapshot struct {
	Revision uint64 `json:"revision"`
	// Checksum is the controller's, of Content.
	Checksum string `json:"checksum"`
	// Content is servergroups.HostSnapshot in JSON; opaque here.
	Content json.RawMessage `json:"content"`
}

// SaveSnapshot keeps a snapshot that the host has found good.
func (s *Store) SaveSnapshot(snapshot Snapshot) error {
	data, err := json.Marshal(snapshot)
	if err != nil {
		return err
	}
	return s.write("snapshot", data, 0o600)
}

// LastSnapshot is the last good snapshot. found is false on a new host. A
// damaged newest one falls back to the one before it and gives a warning.
func (s *Store) LastSnapshot() (snapshot Snapshot, found bool, warning, err error) {
	data, warning, err := s.read("snapshot")
	if err != nil || data == nil {
		return Snapshot{}, false, nil, err
	}
	if err := json.Unmarshal(data, &snapshot); err != nil {
		return Snapshot{}, false, nil, problem.Invalid.Errorf("cannot read the last good snapshot: %w", err)
	}
	return snapshot, true, warning, nil
}
