package realmfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Read reads realm files: one realm, or a list of realms, and the users files
// that belong to them. Sections of a realm become nouns; the realm keeps an
// empty one in their place.
func Read(data []byte) ([]*model.Contents, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte order mark
	dec := json.NewDecoder(bytes.NewReader(data))
	var whole json.RawMessage
	if err := dec.Decode(&whole); err != nil {
		return nil, whereInText(data, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		line, column := position(data, dec.InputOffset())
		return nil, problem.Invalid.Errorf("cannot read the realm file: line %d, column %d: there is something after its end", line, column)
	}
	items := []json.RawMessage{whole}
	if whole[0] == '[' {
		if err := json.Unmarshal(whole, &items); err != nil {
			return nil, err
		}
	}
	var realms []*model.Contents
	var users []*model.Contents
	for i, item := range items {
		c, err := readRealm(item)
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read realm %d of the file: %w", i+1, err)
		}
		if isUsersFile(c.Realm) {
			users = append(users, c)
			continue
		}
		realms = append(realms, c)
	}
	return joinUsers(realms, users), nil
}

// ReadDir reads a directory export: <realm>-realm.json, <realm>-users-N.json.
func ReadDir(dir fs.FS) ([]*model.Contents, error) {
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	found := false
	for _, name := range names {
		if !strings.HasSuffix(name, "-realm.json") && !strings.Contains(name, "-users-") {
			continue
		}
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		found = found || strings.HasSuffix(name, "-realm.json")
		if _, err := Read(data); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		all = append(all, bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	}
	if !found {
		return nil, problem.NotFound.Errorf("cannot find a realm file: the directory has no <realm>-realm.json")
	}
	whole, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return Read(whole)
}

// isUsersFile reports whether a file holds nothing but more users of a realm.
func isUsersFile(r *model.Realm) bool {
	for _, key := range []string{"enabled", "clients", "roles", "id", "sslRequired", "displayName"} {
		if r.Has(key) {
			return false
		}
	}
	return r.Has("users") || r.Has("federatedUsers")
}

func joinUsers(realms, users []*model.Contents) []*model.Contents {
	for _, more := range users {
		at := slices.IndexFunc(realms, func(c *model.Contents) bool { return c.Realm.Name == more.Realm.Name })
		if at < 0 { // not more users of a realm: a realm of which the file says nothing else
			realms = append(realms, more)
			continue
		}
		home := realms[at]
		if !home.Realm.Has("users") {
			home.Realm.SetRaw("users", json.RawMessage("[]"))
		}
		home.Users = append(home.Users, more.Users...)
		if raw, ok := more.Realm.Raw("federatedUsers"); ok && !home.Realm.Has("federatedUsers") {
			home.Realm.SetRaw("federatedUsers", raw)
		}
	}
	for _, c := range realms {
		number(c)
	}
	return realms
}

// whereInText adds line and column to an error of the JSON reader.
func whereInText(data []byte, err error) error {
	offset := int64(len(data))
	if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
		offset = s.Offset - 1
	}
	line, column := position(data, offset)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	return problem.Invalid.Errorf("cannot read the realm file: it is not JSON: line %d, column %d: %w", line, column, err)
}

func position(data []byte, offset int64) (line, column int) {
	before := data[:min(max(offset, 0), int64(len(data)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
