package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// maxSessions are open at a time; the one that ends first goes for a new one.
const maxSessions = 125

// Sessions knows who may call: by a bearer token, or by the cookie of a browser that had one. It keeps hashes only.
// Safe for any goroutine.
type Sessions struct {
	cookie string
	now    func() time.Time

	mu   sync.Mutex
	open []session
}

type session struct {
	hash [sha256.Size]byte
	ends time.Time // zero: never
}

// NewSessions returns none. cookie is the name of theirs: browsers do not tell ports apart, so it names the listener.
func NewSessions(cookie string, now func() time.Time) *Sessions {
	return &Sessions{cookie: cookie, now: now}
}

// Let lets the bearer of a token in until it ends; zero: until Drop.
func (s *Sessions) Let(token string, ends time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if len(s.open) >= maxSessions {
		first := -1
		for i, o := range s.open {
			if !o.ends.IsZero() && (first < 0 || o.ends.Before(s.open[first].ends)) {
				first = i
			}
		}
		if first >= 0 {
			s.open = append(s.open[:first], s.open[first+1:]...)
		}
	}
	s.open = append(s.open, session{sha256.Sum256([]byte(token)), ends})
}

// Drop ends what a token or a cookie opened.
func (s *Sessions) Drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := sha256.Sum256([]byte(token))
	for i := range s.open {
		if subtle.ConstantTimeCompare(s.open[i].hash[:], hash[:]) == 1 {
			s.open = append(s.open[:i], s.open[i+1:]...)
			return
		}
	}
}

// SignIn opens a session for a browser and returns its cookie, which no script can read and no other site sends.
func (s *Sessions) SignIn(lasts time.Duration, secure bool) *http.Cookie {
	value := rand.Text()
	s.Let(value, s.now().Add(lasts))
	return &http.Cookie{Name: s.cookie, Value: value, Path: "/", MaxAge: int(lasts.Seconds()), HttpOnly: true,
		Secure: secure, SameSite: http.SameSiteStrictMode}
}

// sweep forgets what has ended; s.mu is held.
func (s *Sessions) sweep() {
	at, kept := s.now(), s.open[:0]
	for _, o := range s.open {
		if o.ends.IsZero() || at.Before(o.ends) {
			kept = append(kept, o)
		}
	}
	s.open = kept
}

// find names the session of a token, "" if it has none. All are compared, so that its time tells nothing.
func (s *Sessions) find(token string) (name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	hash := sha256.Sum256([]byte(token))
	for i := range s.open {
		if subtle.ConstantTimeCompare(s.open[i].hash[:], hash[:]) == 1 {
			name = hex.EncodeToString(hash[:8])
		}
	}
	return name
}

type callerKey struct{}

// Caller names who sent a request: its session, else its address.
func Caller(r *http.Request) string {
	if name, ok := r.Context().Value(callerKey{}).(string); ok {
		return name
	}
	return ByAddress(r)
}

// Guard refuses requests without credentials, but for those that are open to all. Cookies count only where no token is
// sent, and for a change only beside the header X-GPUAI-Request, which no form can send.
func (s *Sessions) Guard(open func(*http.Request) bool) Guard {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, err := s.who(r)
			if err != nil && !open(r) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				WriteProblem(w, err)
				return
			}
			if err == nil {
				r = r.WithContext(context.WithValue(r.Context(), callerKey{}, name))
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (s *Sessions) who(r *http.Request) (name string, err error) {
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	cookie, noCookie := r.Cookie(s.cookie)
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case isBearer:
		name = s.find(token)
	case r.Header.Get("Authorization") != "" || noCookie != nil:
	case !safe && r.Header.Get("X-GPUAI-Request") != "1":
		return "", &market.Error{Code: market.CodeCrossSite, Kind: market.KindDenied, Op: "check session",
			Detail: "a change by a browser's session needs the header X-GPUAI-Request: 1", Hint: "use gpuai"}
	default:
		name = s.find(cookie.Value)
	}
	if name == "" {
		return "", &market.Error{Code: market.CodeNoCredentials, Kind: market.KindDenied, Op: "check session",
			Detail: "the request has no token or session of this node, or it has ended",
			Hint:   "send Authorization: Bearer and what the file of api.token_file holds"}
	}
	return name, nil
}

// TokenFile reads the token of a file, and makes one, of mode 0600, if there is none. Errors: data-dir-open if others
// can read it; I/O.
func TokenFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte("gpuai_" + rand.Text() + rand.Text()) // 256 bits of chance
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return "", fmt.Errorf("make token: %w", err)
		}
		if _, err = f.Write(append(b, '\n')); err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("make token: %w", errors.Join(err, os.Remove(path)))
		}
		return string(b), nil
	}
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 32 || info.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		return "", &market.Error{Code: market.CodeDataDirOpen, Kind: market.KindDenied, Op: "read token",
			Detail: path + " is no token of 32 characters or more that only its user can read",
			Hint:   "chmod 600 " + path + ", or delete it and start the node again"}
	}
	return token, nil
}
