package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"strings"
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

// Memory keeps answers where no store is given: tests, and a node without one.
type Memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

// NewMemory returns an empty one.
func NewMemory() *Memory { return &Memory{m: map[string][]byte{}} }

// LoadAnswer implements Answers.
func (m *Memory) LoadAnswer(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m[key], nil
}

// SaveAnswer implements Answers.
func (m *Memory) SaveAnswer(key string, record []byte, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = record
	return nil
}

// DropAnswer implements Answers.
func (m *Memory) DropAnswer(key string) error {
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

// keys does creating requests at most once per key.
type keys struct {
	kept Answers
	ops  *Operations
	log  *slog.Logger

	mu      sync.Mutex
	working map[string]bool
}

func newKeys(kept Answers, ops *Operations, log *slog.Logger) *keys {
	if kept == nil {
		kept = NewMemory()
	}
	return &keys{kept: kept, ops: ops, log: log, working: map[string]bool{}}
}

// once runs a creating request at most once per key: the same request again gets the stored answer, another one
// key-reused. The record is on disk before the work starts; work that a crash cut is done again, so its ids must follow
// from the key. A failure is not kept. An error is one that do never saw.
func (k *keys) once(w http.ResponseWriter, r *http.Request, do http.HandlerFunc) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBody+1))
	if err != nil { // whoever reads the body tells what is wrong
		raw = make([]byte, MaxBody+1)
	}
	want := fingerprint(r, raw)
	release, err := k.claim(key)
	if err != nil {
		return err
	}
	defer release()
	doc, err := k.known(key, want)
	if err != nil {
		return err
	}
	if doc.Done && !k.lost(doc) {
		doc.send(w)
		return nil
	}
	if err := k.save(key, answerDoc{Request: want}); err != nil {
		return err
	}
	r = r.WithContext(withKey(r.Context(), key))
	r.Body = io.NopCloser(bytes.NewReader(raw))
	got := &recorder{header: http.Header{}, status: http.StatusOK}
	do(got, r)
	if got.status >= 300 {
		if err := k.kept.DropAnswer(key); err != nil {
			k.log.Error("Idempotency key was not dropped", "error", err)
		}
		got.send(w)
		return nil
	}
	doc = answerDoc{Request: want, Done: true, Status: got.status, Location: got.header.Get("Location"),
		Body: got.body.Bytes()}
	if err := k.save(key, doc); err != nil {
		k.log.Error("Answer was not kept", "error", err) // the work is done: its own ids make a repeat free
	}
	doc.send(w)
	return nil
}

// known is what is kept of a key, nothing for a new one. Errors: key-reused; those of the store.
func (k *keys) known(key, want string) (doc answerDoc, err error) {
	raw, err := k.kept.LoadAnswer(key)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		return doc, fmt.Errorf("look for the key: %w", err)
	}
	if raw != nil && doc.Request != want {
		return doc, &market.Error{Code: market.CodeKeyReused, Kind: market.KindConflict, Op: "read request",
			Detail: "this Idempotency-Key came with another request before", Hint: "use a new key for a new request"}
	}
	return doc, nil
}

func (d answerDoc) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if d.Location != "" {
		w.Header().Set("Location", d.Location)
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(d.Body) // the caller is gone if this fails
}

// recorder keeps an answer until it is known whether it is to be kept.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // the caller is gone if this fails
}

// lost reports an answer that names an operation of before this start: its work is done again, which its key makes
// free.
func (k *keys) lost(doc answerDoc) bool {
	if doc.Status != http.StatusAccepted {
		return false
	}
	_, err := k.ops.Get(path.Base(doc.Location))
	return err != nil
}

func (k *keys) save(key string, doc answerDoc) error {
	b, err := json.Marshal(doc)
	if err == nil {
		err = k.kept.SaveAnswer(key, b, time.Now().Add(answerLife))
	}
	if err != nil {
		return fmt.Errorf("keep the key: %w", err)
	}
	return nil
}

// claim marks a key as in work. Error: 409, try again in a second.
func (k *keys) claim(key string) (release func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.working[key] {
		return nil, &withStatus{
			cause: &market.Error{Code: market.CodeBusy, Kind: market.KindUnavailable, Op: "read request",
				Detail: "the first request with this key is still in work", Hint: "ask again in a second"},
			status: http.StatusConflict, after: 1,
		}
	}
	k.working[key] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.working, key)
	}, nil
}

const maxKey = 128 // characters

// idempotencyKey is the caller's name for what it creates.
func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	bad := func(c rune) bool { return c <= ' ' || c > '~' }
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, bad) {
		return "", Usage(http.StatusBadRequest, fmt.Sprintf("the header Idempotency-Key is needed: 1 to %d "+
			"printable characters, the same for a repeat", maxKey))
	}
	return key, nil
}

type keyOf struct{}

// Key is the idempotency key of the request in work, "" without one.
func Key(ctx context.Context) string {
	k, _ := ctx.Value(keyOf{}).(string)
	return k
}

func withKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}
