package docker

import (
	"context"
	"errors"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/gpuai/gpuai/market"
)

// TestWords_Tables: each row has a place where it was seen, and none hides behind one before it.
func TestWords_Tables(t *testing.T) {
	for name, table := range map[string][]word{"create": createWords, "start": startWords, "init": initWords,
		"pull": pullWords} {
		for i, w := range table {
			if w.Has != strings.ToLower(w.Has) || w.Seen == "" || w.Code != "" && w.Hint == "" {
				t.Errorf("%s: row of %q is not lower case, unseen or has no hint", name, w.Has)
			}
			if got := said(table, errors.New(w.Has)); got != &table[i] {
				t.Errorf("%s: %q is hidden by %q", name, w.Has, got.Has)
			}
		}
	}
}

// TestWords_Messages holds whole messages as engines have said them.
func TestWords_Messages(t *testing.T) {
	const root = "/var/lib/docker/overlay2/41c9ae2196d00e6cb82bbfb180b132760e32955593a0f6738ea95770e9d2977c/merged"
	for _, c := range []struct {
		table   []word
		message string
		code    market.Code
		spoken  string // code "": it may pass
	}{
		{createWords, "Error response from daemon: Cannot mkdir: /etc/passwd is not a directory",
			market.CodeStartCommand,
			"Cannot mkdir: /etc/passwd is not a directory"},
		{createWords, "evalSymlinksInScope: too many links in " + root + "/loop/x", market.CodeStartCommand,
			"evalSymlinksInScope: too many links in /loop/x"},
		{createWords, "lstat " + root + "/etc/passwd/x: not a directory", market.CodeStartCommand,
			"lstat /etc/passwd/x: not a directory"},
		{createWords, "source " + root + "/etc/passwd is not directory", market.CodeImageRefused,
			"source /etc/passwd is not directory"},
		{createWords, "mkdir /mnt/big/docker/overlay2/a1/merged/x: no space left on device", market.CodeDiskFull,
			"mkdir /x: no space left on device"},
		{createWords, "No such image: sha256:1", "", "No such image: sha256:1"},
		{createWords, "driver failed", "", "driver failed"},
		{startWords, "unable to find group nogroup: no matching entries in group file", market.CodeStartCommand,
			"unable to find group nogroup: no matching entries in group file"},
		{
			startWords, "failed to create shim task: OCI runtime create failed: runc create failed: unable to start " +
				"container process: exec: \"/x\": permission denied: unknown", "",
			"exec: \"/x\": permission denied",
		},
		{pullWords, "manifest for x@sha256:1 not found: manifest unknown", market.CodeImageNotFound,
			"manifest for x@sha256:1 not found: manifest unknown"},
		{pullWords, "unauthorized: fault", market.CodeImageNotFound, "unauthorized: fault"},
		{pullWords, "received unexpected HTTP status: 500 Internal Server Error", "",
			"received unexpected HTTP status: 500 Internal Server Error"},
		{pullWords, "received unexpected HTTP status: 429 Too Many Requests", "",
			"received unexpected HTTP status: 429 Too Many Requests"},
		{pullWords, "toomanyrequests: You have reached your unauthenticated pull rate limit.", "",
			"toomanyrequests: You have reached your unauthenticated pull rate limit."},
		{pullWords, "failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid " +
			"tar header", market.CodeImageRefused,
			"failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid tar header"},
		{pullWords, "failed to register layer: Error processing tar file(exit status 1): unexpected EOF",
			market.CodeImageRefused,
			"failed to register layer: Error processing tar file(exit status 1): unexpected EOF"},
		{pullWords, "failed to register layer: write /usr/lib/x: no space left on device", market.CodeDiskFull,
			"failed to register layer: write /usr/lib/x: no space left on device"},
		{pullWords, "unexpected EOF", "", "unexpected EOF"},
		{pullWords, "Get \"https://x/v2/\": dial tcp 127.0.0.1:9: connect: connection refused", "",
			"Get \"https://x/v2/\": dial tcp 127.0.0.1:9: connect: connection refused"},
		{pullWords, "open /var/lib/docker/tmp/GetImageBlob1: permission denied", "", "open : permission denied"},
	} {
		err := errors.New(c.message)
		code := market.Code("")
		if w := said(c.table, err); w != nil {
			code = w.Code
		}
		if code != c.code || spoken(err) != c.spoken {
			t.Errorf("%s\n got %q, %q\nwant %q, %q", c.message, code, spoken(err), c.code, c.spoken)
		}
	}
}

func TestSpoken_Long_KeepsTheEnd(t *testing.T) {
	s := spoken(errors.New("lstat /" + strings.Repeat("ü", 300) + ": file name too long"))
	if len(s) > 256 || !strings.HasPrefix(s, "lstat /") || !strings.HasSuffix(s, ": file name too long") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}

func TestStepError_Sorts(t *testing.T) {
	own := market.Refuse("x", market.KindInvalid, "")
	for _, c := range []struct {
		err            error
		code           market.Code
		answered, for4 bool
	}{
		{cerrdefs.ErrInternal.WithMessage("Cannot mkdir: /x is not a directory"), market.CodeStartCommand, true, false},
		{cerrdefs.ErrInternal.WithMessage("something new"), market.CodeEngineError, true, false},
		{cerrdefs.ErrInvalidArgument.WithMessage("something new"), market.CodeEngineError, true, true},
		{cerrdefs.ErrNotFound.WithMessage("something new"), market.CodeEngineError, true, false},
		{errors.New("dial unix /var/run/docker.sock: connect: connection refused"), market.CodeEngineError, false,
			false},
		{context.Canceled, "", false, false},
		{nil, "", false, false},
	} {
		err := stepError(createWords, "create", c.err)
		if market.CodeOf(err) != c.code || answered(c.err) != c.answered || refusedFor(c.err) != c.for4 {
			t.Errorf("%v: %q, %v, %v", c.err, market.CodeOf(err), answered(c.err), refusedFor(c.err))
		}
	}
	if err := stepError(createWords, "create", own); market.CodeOf(err) == "x" {
		t.Log("a refusal of ours stays as it is")
	}
}
