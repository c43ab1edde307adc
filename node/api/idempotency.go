package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// answerLife is how long an idempotency key is remembered.
const answerLife = 24 * time.Hour

// Answers keeps idempotency records on disk; a nil Load is none. Records that say they are older than 24 h may go.
type Answers interface {
	LoadAnswer(key string) ([]byte, error)
	SaveAnswer(key string, record []byte, expires time.Time) error
	DropAnswer(key string) error
}

// answerDoc is what is kept of a key: written before the work begins, again with its answer.
type answerDoc struct {
	Request  string `json:"request"` // hash of method, path and body
	Done     bool   `json:"done"`
	Status   int    `json:"status,omitempty"`
	Location string `json:"location,omitempty"`
	Body     []byte `json:"body,omitempty"`
}

// memory keeps answers where no store is given: tests, and a node without one.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) LoadAnswer(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m[key], nil
}

func (m *memory) SaveAnswer(key string, record []byte, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = record
	return nil
}

func (m *memory) DropAnswer(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, key)
	return nil
}

// fingerprint hashes what a repeat must be equal in: spaces and the order of fields do not count.
func fingerprint(r *http.Request, raw []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) == nil {
		if same, err := json.Marshal(v); err == nil {
			raw = same
		}
	}
	h := sha256.Sum256(append([]byte(r.Method+" "+r.URL.Path+"\n"), raw...))
	return hex.EncodeToString(h[:])
}

// once runs a creating request at most once per key: the same request again gets the stored answer, another one
// key-reused. The record is on disk before the work starts; work that a crash cut is done again, so its ids must follow
// from the key. A failure is not kept.
func (s *Server) once(w http.ResponseWriter, r *http.Request, do func(r *http.Request) (any, error)) {
	key, err := idempotencyKey(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody+1))
	if err != nil { // body tells what is wrong
		raw = make([]byte, maxBody+1)
	}
	want := fingerprint(r, raw)
	release, err := s.claim(key)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer release()
	known, err := s.answers.LoadAnswer(key)
	var doc answerDoc
	if err == nil && known != nil {
		err = json.Unmarshal(known, &doc)
	}
	switch {
	case err != nil:
		s.refuse(w, r, fmt.Errorf("look for the key: %w", err))
		return
	case known != nil && doc.Request != want:
		s.refuse(w, r, &market.Error{Code: "key-reused", Kind: market.KindConflict, Op: "read request",
			Detail: "this Idempotency-Key came with another request before", Hint: "use a new key for a new request"})
		return
	case doc.Done && !s.lost(doc):
		send(w, doc)
		return
	}
	if err := s.save(key, answerDoc{Request: want}); err != nil {
		s.refuse(w, r, err)
		return
	}
	r = r.WithContext(withKey(r.Context(), key))
	r.Body = io.NopCloser(bytes.NewReader(raw))
	v, err := do(r)
	if err != nil {
		if e := s.answers.DropAnswer(key); e != nil {
			s.log.Error("Idempotency key was not dropped", "error", e)
		}
		s.refuse(w, r, err)
		return
	}
	doc = render(v)
	doc.Request, doc.Done = want, true
	if err := s.save(key, doc); err != nil {
		s.log.Error("Answer was not kept", "error", err) // the work is done: its own ids make a repeat free
	}
	send(w, doc)
}

// lost reports an answer that names an operation of before this start: its work is done again, which its key makes
// free.
func (s *Server) lost(doc answerDoc) bool {
	if doc.Status != http.StatusAccepted {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.operations[path.Base(doc.Location)]
	return !known
}

func (s *Server) save(key string, doc answerDoc) error {
	b, err := json.Marshal(doc)
	if err == nil {
		err = s.answers.SaveAnswer(key, b, time.Now().Add(answerLife))
	}
	if err != nil {
		return fmt.Errorf("keep the key: %w", err)
	}
	return nil
}

// claim marks a key as in work. Error: 409, try again in a second.
func (s *Server) claim(key string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working[key] {
		return nil, &withStatus{
			cause: &market.Error{Code: "busy", Kind: market.KindUnavailable, Op: "read request",
				Detail: "the first request with this key is still in work", Hint: "ask again in a second"},
			status: http.StatusConflict, after: 1,
		}
	}
	s.working[key] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.working, key)
	}, nil
}
