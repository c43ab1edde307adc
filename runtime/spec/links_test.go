package spec

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func head(name string, flag byte, link string) tar.Header {
	return tar.Header{Name: name, Typeflag: flag, Linkname: link}
}

// received unpacks and returns what lies where, with reasons of what does not.
func received(t *testing.T, rename Rename, items ...item) (dir string, why map[string]string) {
	t.Helper()
	dest, dir := root(t)
	u, err := Receive(bytes.NewReader(archive(t, items...)), dest, Limits{Total: 1 << 20}, rename)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(u.Manifest.ID()); err != nil {
		t.Fatal(err)
	}
	why = map[string]string{}
	for _, s := range u.Manifest.Skipped {
		why[s.Path] = s.Why
	}
	return dir, why
}

func reads(t *testing.T, name, want string) {
	t.Helper()
	if b, err := os.ReadFile(name); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v; want %q", name, b, err, want)
	}
}

func TestReceive_HardLinks_BringTheContentUnderEachName(t *testing.T) {
	t.Parallel()
	dir, why := received(t, nil,
		item{head("out/a", tar.TypeReg, ""), "data"}, item{head("out/b", tar.TypeLink, "out/a"), ""},
		item{head("c/d/e", tar.TypeLink, "./out/b"), ""},
		item{head("out/l", tar.TypeSymlink, "a"), ""}, item{head("out/m", tar.TypeLink, "out/l"), ""},
		item{head("none", tar.TypeLink, "out/missing"), ""}, item{head("fifo", tar.TypeFifo, ""), ""},
		item{head("fifo2", tar.TypeLink, "fifo"), ""},
	)
	for _, name := range []string{"out/a", "out/b", "c/d/e", "out/l", "out/m"} {
		reads(t, filepath.Join(dir, name), "data")
	}
	if len(why) != 3 || why["none"] == "" || why["fifo"] == "" || why["fifo2"] == "" {
		t.Errorf("left out %v", why)
	}
}

func TestReceive_HardLinksAgain_ReplaceTheOldOnes(t *testing.T) {
	t.Parallel()
	dest, dir := root(t)
	for _, body := range []string{"old", "new"} {
		raw := archive(t, item{head("a", tar.TypeReg, ""), body}, item{head("b", tar.TypeLink, "a"), ""},
			item{head("l", tar.TypeSymlink, "a"), ""})
		if _, err := Unpack(bytes.NewReader(raw), dest, Limits{Total: 10}); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("left %v, %v", left, err)
	}
	reads(t, filepath.Join(dir, "a"), "new")
	reads(t, filepath.Join(dir, "b"), "new")
}

func TestFilter_AbsoluteLinkInTheWorkspace_BecomesRelative(t *testing.T) {
	t.Parallel()
	dir, why := received(t, nil,
		item{head("out/a", tar.TypeReg, ""), "data"}, item{head("out/latest", tar.TypeSymlink, "/workspace/out/a"), ""},
		item{head("x/y/z", tar.TypeSymlink, "/workspace/out/../out/a"), ""},
		item{head("top", tar.TypeSymlink, "/workspace"), ""},
		item{head("out/self", tar.TypeSymlink, "/workspace/out"), ""},
		item{head("evil", tar.TypeSymlink, "/etc/passwd"), ""},
		item{head("near", tar.TypeSymlink, "/workspace2/a"), ""},
		item{head("up", tar.TypeSymlink, "/workspace/../etc/passwd"), ""},
	)
	for name, to := range map[string]string{"out/latest": "a", "x/y/z": "../../out/a", "top": ".", "out/self": "."} {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || filepath.ToSlash(got) != to {
			t.Errorf("%s points to %q, %v; want %q", name, got, err, to)
		}
	}
	if len(why) != 3 || why["evil"] == "" || why["near"] == "" || why["up"] == "" {
		t.Errorf("left out %v", why)
	}
}

// TestReceive_Renamed_LinksStayInside: a link that is inside the archive can be outside of what is taken from it.
func TestReceive_Renamed_LinksStayInside(t *testing.T) {
	t.Parallel()
	below := func(name string) (string, bool) {
		rest, ok := strings.CutPrefix(name, "out/deep/")
		return rest, ok
	}
	dir, why := received(t, below,
		item{head("out/other", tar.TypeReg, ""), "other"}, item{head("out/deep/a", tar.TypeReg, ""), "data"},
		item{head("out/deep/in", tar.TypeSymlink, "a"), ""},
		item{head("out/deep/s/abs", tar.TypeSymlink, "/workspace/out/deep/a"), ""},
		item{head("out/deep/escape", tar.TypeSymlink, "../other"), ""},
		item{head("out/deep/hard", tar.TypeLink, "out/deep/a"), ""},
		item{head("out/deep/far", tar.TypeLink, "out/other"), ""},
		item{head("out/link", tar.TypeSymlink, "/etc/passwd"), ""},
	)
	for _, name := range []string{"a", "in", "s/abs", "hard"} {
		reads(t, filepath.Join(dir, name), "data")
	}
	if len(why) != 2 || why["escape"] == "" || why["far"] == "" {
		t.Errorf("left out %v", why)
	}
}

// TestManifestID_SeesContentOnly: whether names share their bytes, and when they were written, changes no signed id.
func TestManifestID_SeesContentOnly(t *testing.T) {
	t.Parallel()
	id := func(items ...item) [32]byte {
		m, err := Filter(bytes.NewReader(archive(t, items...)), io.Discard, Limits{Total: 100}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m.ID()
	}
	old := head("a", tar.TypeReg, "")
	old.ModTime = time.Unix(1_500_000_000, 0)
	linked := id(item{old, "x"}, item{head("b", tar.TypeLink, "a"), ""})
	if copied := id(item{head("b", tar.TypeReg, ""), "x"}, item{head("a", tar.TypeReg, ""), "x"}); linked != copied {
		t.Error("a hard link and a copy have different ids")
	}
	if id(item{old, "y"}) == id(item{old, "x"}) {
		t.Error("other content has the same id")
	}
}

// TestManifestID_IsThatOfEarlierVersions: roots that were signed before times and links were known are still met.
func TestManifestID_IsThatOfEarlierVersions(t *testing.T) {
	t.Parallel()
	m := Manifest{Entries: []Entry{{Path: "d", Type: "dir", Mode: 0o755, MTime: 5},
		{Path: "l", Type: "symlink", Mode: 0o777, Target: "d"}}, Skipped: []Skipped{{"x", "y"}}}
	if got := fmt.Sprintf("%x", m.ID()); got != "910f37ccd0ad9d206057cb1e328e46e4816216039675f891d7b7f6c1433b10cb" {
		t.Errorf("id %s", got)
	}
}

func TestPackUnpack_TimesModesAndEmptyFolders_Survive(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	at := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, d := range []string{"empty", "in/er"} {
		if err := os.MkdirAll(filepath.Join(src, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"run.sh": 0o755, "in/data": 0o600, "in/er/x": 0o644} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(src, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"empty", "in/er", "in"} {
		if err := os.Chtimes(filepath.Join(src, d), at, at); err != nil {
			t.Fatal(err)
		}
	}
	var packed, filtered bytes.Buffer
	if _, err := Pack(&packed, []Source{{From: src, To: "/workspace/src"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Filter(&packed, &filtered, Limits{Total: 1000}, nil); err != nil {
		t.Fatal(err)
	}
	dest, dir := root(t)
	if _, err := Unpack(&filtered, dest, Limits{Total: 1000}); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"run.sh": 0o755, "in/data": 0o600, "in/er/x": 0o644, "empty": 0o750,
		"in": 0o750, "in/er": 0o750} {
		info, err := os.Stat(filepath.Join(dir, "src", name))
		if err != nil || info.Mode().Perm() != mode || !info.ModTime().Equal(at) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				t.Errorf("%s is %v of %s", name, info.Mode(), info.ModTime())
			}
		}
	}
}

func TestFilter_AbsentOrOddTimes_BecomeOnesThatZipKnows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	items := []item{{head("absent", tar.TypeReg, ""), ""}}
	for i, at := range []time.Time{time.Unix(1, 0), time.Date(1979, 12, 31, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(-5, 0)} {
		h := head(fmt.Sprint(i), tar.TypeReg, "")
		h.ModTime = at
		items = append(items, item{h, ""})
	}
	if _, err := Filter(bytes.NewReader(archive(t, items...)), &out, Limits{Total: 10}, nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	for tr := tar.NewReader(&out); ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range []int{-12 * 3600, 14 * 3600} {
			if y := h.ModTime.In(time.FixedZone("", zone)).Year(); y < 1980 || y > 2107 {
				t.Errorf("%s is of %s", h.Name, h.ModTime)
			}
		}
	}
	if n != len(items) {
		t.Errorf("%d entries, want %d", n, len(items))
	}
}

func TestPack_LinksPipesAndSockets_NamedOrMadeRelative(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	if err := os.MkdirAll(filepath.Join(src, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, "a"), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(src, "a"), filepath.Join(src, "b")); err != nil {
		t.Skipf("no hard links here: %v", err)
	}
	for link, to := range map[string]string{"sub/abs": filepath.Join(src, "a"), "out": "/etc/passwd", "up": "../x"} {
		if err := os.Symlink(to, filepath.Join(src, link)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(src, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var b bytes.Buffer
	m, err := Pack(&b, []Source{{From: src, To: "/workspace"}})
	if err != nil {
		t.Fatal(err)
	}
	dest, dir := root(t)
	if _, err := Unpack(&b, dest, Limits{Total: 100}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "sub/abs"} {
		reads(t, filepath.Join(dir, name), "data")
	}
	why := map[string]string{}
	for _, s := range m.Skipped {
		why[s.Path] = s.Why
	}
	if len(why) != 3 || why[filepath.Join(src, "out")] != whyLeaves || why[filepath.Join(src, "up")] != whyLeaves ||
		why[filepath.Join(src, "s")] != whySocket {
		t.Errorf("left out %v", why)
	}
	if _, err := Pack(io.Discard, []Source{{From: filepath.Join(src, "s"), To: "/workspace/s"}}); err == nil {
		t.Error("an input that is a socket was accepted")
	}
}

func TestSkipped_LongLists_FitIntoOneMessage(t *testing.T) {
	t.Parallel()
	var m Manifest
	for i := range 5000 {
		m.Skip(strings.Repeat([]string{"ü", "\x01", `\`}[i%3], 300)+fmt.Sprint(i), "why")
	}
	raw, err := json.Marshal(Manifest{Skipped: m.Skipped, More: m.More})
	if err != nil || len(raw) > 60<<10 || m.LeftOut() != 5000 || len(m.Skipped) == 0 {
		t.Errorf("%d bytes for %d, %d named: %v", len(raw), m.LeftOut(), len(m.Skipped), err)
	}
	var back Manifest
	if err := json.Unmarshal(raw, &back); err != nil || back.Skipped[0] != m.Skipped[0] || back.LeftOut() != 5000 {
		t.Errorf("read back %+v, %v", back.Skipped[:1], err)
	}
	var old Skipped
	if err := old.UnmarshalText([]byte("no quotes here")); err != nil || old.Why != "no quotes here" {
		t.Errorf("%+v, %v", old, err)
	}
}

func TestMissing_NamesThePathsOfWhichNothingCame(t *testing.T) {
	t.Parallel()
	m := Manifest{Entries: []Entry{{Path: "out/a/b", Type: "file"}, {Path: "empty", Type: "dir"}}}
	got := m.Missing([]string{"/workspace/out", "/workspace/out/a", "/workspace/none", "/workspace/empty",
		"/workspace/ou", "/workspace"})
	if strings.Join(got, " ") != "/workspace/none /workspace/ou" {
		t.Errorf("missing %v", got)
	}
	if got := (Manifest{}).Missing([]string{"/workspace"}); len(got) != 1 {
		t.Errorf("an empty workspace is missing %v", got)
	}
}
