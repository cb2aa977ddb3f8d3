package localstate

// SaveDirectory keeps the list of the domain's servers that a controller last
// gave; opaque here.
func (s *Store) SaveDirectory(content []byte) error { return s.write("directory", content, 0o600) }

// LastDirectory is the list that was kept last, nil before the first.
func (s *Store) LastDirectory() ([]byte, error) {
	content, _, err := s.read("directory")
	return content, err
}
