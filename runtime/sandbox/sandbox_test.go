package sandbox

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestToolsImage_Twice_SameBytes: the id is how the node knows that the engine holds this very helper.
func TestToolsImage_Twice_SameBytes(t *testing.T) {
	a, err := ToolsImage()
	var me *market.Error
	if errors.As(err, &me) && me.Code == market.CodeSandboxMissing {
		t.Skip("built without the helper: run runtime/sandbox/build.sh")
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := ToolsImage()
	if err != nil || a.Config != b.Config || !bytes.Equal(a.Archive, b.Archive) {
		t.Fatalf("two builds differ: %v", err)
	}
	found := map[string][]byte{}
	tr := tar.NewReader(bytes.NewReader(a.Archive))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok && name != "" &&
			digest(found[h.Name]) != "sha256:"+name {
			t.Errorf("%s holds other bytes", h.Name)
		}
	}
	var classic []struct{ Config string }
	if err := json.Unmarshal(found["manifest.json"], &classic); err != nil || len(classic) != 1 ||
		classic[0].Config != blob(a.Config) {
		t.Errorf("manifest.json: %+v, %v", classic, err)
	}
}

func TestSeccomp_DeniesWhatEscapesUse(t *testing.T) {
	var p struct {
		DefaultAction string
		Architectures []string
		Syscalls      []struct {
			Names  []string
			Action string
			Args   []struct{ Index, Value uint64 }
		}
	}
	if err := json.Unmarshal([]byte(Seccomp()), &p); err != nil {
		t.Fatal(err)
	}
	if p.DefaultAction != "SCMP_ACT_ERRNO" || !slices.Equal(p.Architectures, []string{"SCMP_ARCH_X86_64"}) {
		t.Errorf("default %s on %v", p.DefaultAction, p.Architectures)
	}
	families := map[uint64]bool{}
	for _, s := range p.Syscalls {
		if s.Action != "SCMP_ACT_ALLOW" {
			continue
		}
		for _, bad := range []string{
			"socketcall", "io_uring_setup", "userfaultfd", "bpf", "keyctl", "add_key", "request_key", "perf_event_open",
			"unshare", "setns", "mount",
			"open_by_handle_at", "kexec_load", "init_module", "pivot_root", "chroot", "clone3",
		} {
			if slices.Contains(s.Names, bad) {
				t.Errorf("%s is allowed", bad)
			}
		}
		if slices.Contains(s.Names, "socket") {
			if len(s.Args) != 1 {
				t.Error("socket is allowed for any family")
				continue
			}
			families[s.Args[0].Value] = true
		}
	}
	for f := range families {
		if !slices.Contains([]uint64{1, 2, 10, 16}, f) {
			t.Errorf("socket family %d is allowed", f)
		}
	}
	if len(families) != 4 {
		t.Errorf("families %v", families)
	}
}
