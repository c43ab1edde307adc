//go:build unix

// Package dbtest opens indexes for tests on both databases: SQLite in a folder, and a PostgreSQL that it starts itself.
//
// Invariants: what it starts ends with Close, its data with it; no system cluster is touched. Concurrency: one server
// for all tests of a program, a database for each. Persistence: none. Next: node/indexer/db.
package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
)

// Server is a PostgreSQL of this process.
type Server struct {
	bin, dir string
	as       *syscall.SysProcAttr
	made     atomic.Int64
}

// Start starts one in a new folder, on a unix socket only. PostgreSQL does not run as root: then another user runs it.
// Errors: it is not installed; it does not start.
func Start(ctx context.Context) (_ *Server, err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed (Debian: postgresql)")
	}
	s := &Server{bin: filepath.Dir(slices.Max(found))}
	if s.dir, err = os.MkdirTemp("", "gpuai-pg"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if s.as, err = unprivileged(s.dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	data := filepath.Join(s.dir, "data")
	err = s.run(ctx, "initdb", "-D", data, "-A", "trust", "-U", "gpuai", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
	if err == nil {
		err = s.run(ctx, "pg_ctl", "-D", data, "-w", "-l", filepath.Join(s.dir, "log"), "-o",
			"-c listen_addresses='' -c unix_socket_directories="+s.dir+" -c shared_buffers=64MB -c fsync=off", "start")
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// unprivileged is a user that PostgreSQL may run as, who then owns the folder.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err = errors.Join(err, err2, os.Chown(dir, uid, gid)); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("no user that PostgreSQL may run as")
}

func (s *Server) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.as
	log, err := os.CreateTemp(s.dir, name)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // no pipe: the server would hold it
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name()) // it is said if it can be
		return fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return nil
}

// Database makes a new one and returns its address.
func (s *Server) Database(ctx context.Context) (string, error) {
	name := "t" + strconv.FormatInt(s.made.Add(1), 10)
	c, err := sql.Open("pgx", s.at("postgres"))
	if err != nil {
		return "", err
	}
	_, err = c.ExecContext(ctx, "CREATE DATABASE "+name)
	return s.at(name), errors.Join(err, c.Close())
}

func (s *Server) at(name string) string {
	return "postgres:///" + name + "?host=" + url.QueryEscape(s.dir) + "&user=gpuai"
}

// Close ends the server and deletes its data.
func (s *Server) Close() error {
	err := s.run(context.Background(), "pg_ctl", "-D", filepath.Join(s.dir, "data"), "-m", "immediate", "stop")
	return errors.Join(err, os.RemoveAll(s.dir))
}

var (
	mu     sync.Mutex
	shared *Server
	failed error
)

// Run runs the tests of a program and ends the server that they share.
func Run(m interface{ Run() int }) int {
	code := m.Run()
	mu.Lock()
	defer mu.Unlock()
	if shared != nil {
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}

// Postgres is the address of a new database. Without PostgreSQL the test is skipped, unless GPUAI_NEED contains
// "postgres": then it fails. TestMain must call Run.
func Postgres(t testing.TB) string {
	t.Helper()
	mu.Lock()
	if shared == nil && failed == nil {
		shared, failed = Start(context.Background())
	}
	s, err := shared, failed
	mu.Unlock()
	if err == nil {
		var at string
		if at, err = s.Database(context.Background()); err == nil {
			return at
		}
	}
	if slices.Contains(strings.Split(os.Getenv("GPUAI_NEED"), ","), "postgres") {
		t.Fatalf("GPUAI_NEED asks for PostgreSQL: %v", err)
	}
	t.Skipf("no PostgreSQL: %v", err)
	return ""
}

// Both runs a test on an empty index of each kind; at is its address.
func Both(t *testing.T, f func(t *testing.T, d *db.DB, at string)) {
	t.Helper()
	for name, at := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return filepath.Join(t.TempDir(), "index.db") },
		"postgres": Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := at(t)
			d, err := db.Open(t.Context(), where)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, d, where)
		})
	}
}
