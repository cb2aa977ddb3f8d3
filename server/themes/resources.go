package themes

import (
	"bytes"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// Resources serves the files of themes at
// /resources/{version}/{type}/{theme}/{path}, below the context path. The
// version is part of the address, so browsers may keep them for good.
func (s *Set) Resources() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, rest, found := strings.Cut(r.URL.Path, "/resources/")
		parts := strings.SplitN(rest, "/", 4)
		if !found || len(parts) < 4 || !fs.ValidPath(parts[3]) {
			http.NotFound(w, r)
			return
		}
		version, kind, name, file := parts[0], parts[1], parts[2], parts[3]
		if kind != Login && kind != Account && kind != Welcome || !s.Has(name) {
			http.NotFound(w, r)
			return
		}
		l, err := s.look(name, kind)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		data, err := l.open(path.Join("resources", file))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		s.serve(w, r, version, file, data)
	})
}

func (s *Set) serve(w http.ResponseWriter, r *http.Request, version, file string, data []byte) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	// A picture opened by itself is a document: it gets no script either.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'")
	if kind := mime.TypeByExtension(path.Ext(file)); kind != "" {
		h.Set("Content-Type", kind)
	}
	if age := s.settings().StaticMaxAge; version == s.version && s.settings().Locked && age > 0 {
		h.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(age/time.Second), 10)+", immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(data))
}
