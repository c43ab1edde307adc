package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/gpuai/gpuai/market"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is an open index. Use Open, then Close.
type DB struct {
	Reads
	write   *sql.DB
	bulk    *sql.DB
	dialect dialect
	epoch   string
	opened  string  // names this opening: states are counted from it
	cleared Cleared // the hour that Clear has come to

	mu      sync.Mutex
	revs    map[Source]uint64
	changed chan struct{}
	snap    *Market
}

// Source is where rows come from.
type Source string

// Sources. A row of one may have to do with rows of another: what reads both names both.
const (
	Gossip Source = "gossip" // signed documents of peers, as gossip and sync bring them
	Probes Source = "probe"  // this indexer dialled
	Chain  Source = "chain"  // accounts and instructions at finality
	Signed Source = "signed" // documents that both sides of a lease signed
	Sums   Source = "sums"   // a Market was made of all of them
)

// dialect is where the two databases differ.
type dialect struct {
	driver string
	text   string // type of text that sorts by its bytes
	lock   string // said first in a transaction that writes
	// mark says that long lists of parameters are "?", in order: SQLite's driver looks each "$n" up among all.
	mark bool
}

var (
	sqlite   = dialect{driver: "sqlite", text: "TEXT", mark: true}
	postgres = dialect{driver: "pgx", text: `TEXT COLLATE "C"`, lock: "SELECT pg_advisory_xact_lock(1735424361)"}
)

// readers are the connections of pages, bulkReaders those of long downloads, which pages do not wait for.
const (
	readers     = 4
	bulkReaders = 2
)

// Open opens the index at a file, or at "postgres://…", makes it if it is not there, and brings it to this program's
// form. Errors: *market.Error index-unusable, version-mismatch.
func Open(ctx context.Context, at string) (*DB, error) {
	d := &DB{dialect: sqlite, revs: map[Source]uint64{}, changed: make(chan struct{}),
		opened: strings.ToLower(rand.Text()[:8])}
	writeAt, readAt := at, at
	if strings.HasPrefix(at, "postgres://") || strings.HasPrefix(at, "postgresql://") {
		d.dialect = postgres
	} else {
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return nil, unusable(err)
		}
		name := (&url.URL{Scheme: "file", Opaque: url.PathEscape(at)}).String()
		name = strings.ReplaceAll(name, "%2F", "/")
		const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
		// The writer's cache holds the pages of a large transaction: what does not fit is written twice. In memory is
		// what takes a statement back, which is a file otherwise.
		const writer = "&_txlock=immediate&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(16000)" +
			"&_pragma=temp_store(MEMORY)"
		writeAt, readAt = name+pragmas+writer, name+pragmas+"&_pragma=query_only(1)"
	}
	var err error
	if d.write, err = sql.Open(d.dialect.driver, writeAt); err == nil {
		d.write.SetMaxOpenConns(1)
		err = d.migrate(ctx)
	}
	for to, n := range map[**sql.DB]int{&d.read: readers, &d.bulk: bulkReaders} {
		if err != nil {
			break
		}
		if *to, err = sql.Open(d.dialect.driver, readAt); err == nil {
			(*to).SetMaxOpenConns(n)
			(*to).SetMaxIdleConns(n)
		}
	}
	if err == nil {
		err = d.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(unusable(err), d.Close())
	}
	return d, nil
}

func unusable(err error) error {
	if market.CodeOf(err) != "" {
		return err
	}
	return &market.Error{Code: market.CodeIndexUnusable, Kind: market.KindUnavailable, Op: "open index", Err: err,
		Detail: redacted(err), Hint: "gpuai indexer run --store FILE; an index that is deleted is built anew"}
}

// redacted is what a driver says without the address, which may hold a password.
func redacted(err error) string {
	s, _, _ := strings.Cut(err.Error(), "postgres")
	if len(s) > 300 {
		s = s[:300]
	}
	return strings.ToValidUTF8(s, "")
}

// Close lets go of the database.
func (d *DB) Close() error {
	var errs []error
	for _, c := range []*sql.DB{d.read, d.bulk, d.write} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// begin takes what the index says of itself.
func (d *DB) begin(ctx context.Context) (err error) {
	d.epoch, err = d.Meta(ctx, "epoch")
	if err == nil && d.epoch == "" {
		d.epoch = strings.ToLower(rand.Text()[:8])
		err = d.inTx(ctx, func(t *tx) error { return t.setMeta("epoch", d.epoch) })
	}
	return err
}

// Epoch names this index; one that was built anew has another.
func (d *DB) Epoch() string { return d.epoch }

// Tag says in what state the sources of an answer are: another answer has another tag, also after a new start.
func (d *DB) Tag(of ...string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	b.WriteString(d.epoch + "-" + d.opened)
	for _, s := range of {
		fmt.Fprintf(&b, "-%s%d", s[:1], d.revs[Source(s)])
	}
	return b.String()
}

// EventsChanged is closed at the next change.
func (d *DB) EventsChanged() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// touch tells that rows of these sources are others now.
func (d *DB) touch(of map[Source]bool) {
	if len(of) == 0 {
		return
	}
	d.mu.Lock()
	for s := range of {
		d.revs[s]++
	}
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
}

// tx is a transaction that writes.
type tx struct {
	ctx context.Context
	*sql.Tx
	mark bool                 // dialect.mark
	full map[string]*sql.Stmt // inserts of the most rows, by text, until the transaction ends
}

func (d *DB) inTx(ctx context.Context, f func(*tx) error) (err error) {
	t, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			_ = t.Rollback() // the cause counts
		}
	}()
	w := &tx{ctx, t, d.dialect.mark, map[string]*sql.Stmt{}}
	if d.dialect.lock != "" {
		if err := w.exec(d.dialect.lock); err != nil {
			return err
		}
	}
	if err := f(w); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (t *tx) exec(q string, args ...any) error {
	if _, err := t.ExecContext(t.ctx, q, args...); err != nil {
		return fmt.Errorf("%.60s: %w", q, err)
	}
	return nil
}

func (t *tx) setMeta(k, v string) error {
	return t.exec("INSERT INTO meta (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v", k, v)
}

// Rows and parameters of one statement at most.
const (
	maxRows   = 500
	maxParams = 32_000
)

// insert adds n rows of a table, many in a statement; tail says what happens to keys that are there.
func (t *tx) insert(table, columns, tail string, n int, row func(i int) []any) error {
	width := strings.Count(columns, ",") + 1
	step := min(maxRows, maxParams/width)
	for from := 0; from < n; from += step {
		to := min(from+step, n)
		args := make([]any, 0, (to-from)*width)
		for i := from; i < to; i++ {
			args = append(args, row(i)...)
		}
		if err := t.insertRows(table, columns, tail, to-from, to-from == step, args); err != nil {
			return err
		}
	}
	return nil
}

// insertRows adds n rows. SQLite reads the text of full ones once in a transaction; PostgreSQL's driver keeps them.
func (t *tx) insertRows(table, columns, tail string, n int, full bool, args []any) error {
	head := "INSERT INTO " + table + " (" + columns + ") VALUES "
	text := func() string {
		var b strings.Builder
		b.WriteString(head)
		width := len(args) / n
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			t.places(&b, i*width, width)
		}
		b.WriteString(" " + tail)
		return b.String()
	}
	if !full || !t.mark {
		return t.exec(text(), args...)
	}
	kept, err := t.full[head+tail], error(nil)
	if kept == nil {
		if kept, err = t.PrepareContext(t.ctx, text()); err != nil {
			return fmt.Errorf("%.60s: %w", head, err)
		}
		t.full[head+tail] = kept
	}
	if _, err := kept.ExecContext(t.ctx, args...); err != nil {
		return fmt.Errorf("%.60s: %w", head, err)
	}
	return nil
}

// places writes "($5,$6)" for two parameters after four, or "(?,?)".
func (t *tx) places(b *strings.Builder, after, n int) {
	sep := byte('(')
	for i := range n {
		b.WriteByte(sep)
		sep = ','
		if t.mark {
			b.WriteByte('?')
			continue
		}
		b.WriteString("$" + strconv.Itoa(after+i+1))
	}
	b.WriteByte(')')
}

// in is "($1,$2)" and the arguments of keys, for IN.
func (t *tx) in(keys []string) (string, []any) {
	var b strings.Builder
	t.places(&b, 0, len(keys))
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	return b.String(), args
}

// latest is the form of this program's index.
func latest() int {
	all, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		panic(err) // they are compiled in
	}
	return len(all)
}

// migrate brings the tables to the latest form, one transaction per step.
func (d *DB) migrate(ctx context.Context) error { return d.migrateTo(ctx, latest()) }

func (d *DB) migrateTo(ctx context.Context, to int) error {
	err := d.inTx(ctx, func(t *tx) error {
		return t.exec("CREATE TABLE IF NOT EXISTS meta (k " + d.dialect.text + " PRIMARY KEY, v " + d.dialect.text +
			" NOT NULL)")
	})
	if err != nil {
		return err
	}
	for {
		done := false
		err := d.inTx(ctx, func(t *tx) error {
			has := 0
			err := t.QueryRowContext(ctx, "SELECT v FROM meta WHERE k = $1", "schema").Scan(&has)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("read the index's form: %w", err)
			}
			if has > latest() {
				return &market.Error{Code: market.CodeVersionMismatch, Kind: market.KindConflict, Op: "open index",
					Detail: fmt.Sprintf("it was written by a newer version: form %d, this one knows %d", has, latest()),
					Hint:   "use that version, or another --store"}
			}
			if done = has >= to; done {
				return nil
			}
			return d.step(t, has+1)
		})
		if err != nil || done {
			return err
		}
	}
}

// step runs one file of migrations.
func (d *DB) step(t *tx, n int) error {
	text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", n))
	if err != nil {
		return fmt.Errorf("migrate index: %w", err)
	}
	for s := range strings.SplitSeq(strings.ReplaceAll(string(text), "{text}", d.dialect.text), ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if err := t.exec(s); err != nil {
			return fmt.Errorf("migrate index to form %d: %w", n, err)
		}
	}
	return t.setMeta("schema", strconv.Itoa(n))
}
