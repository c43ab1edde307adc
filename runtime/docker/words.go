package docker

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/gpuai/gpuai/market"
)

// This file knows what an engine, its runtime and the registries behind it mean by their errors. Statuses come first;
// where an engine answers 500 for everything, its words decide. No other file reads them.

// word is a part of a message, in lower case, and what it means. Code "": it may pass. Seen: the engine that said it,
// or, with "source", the version whose source has it.
type word struct {
	Has        string
	Code       market.Code
	Hint, Seen string
}

const (
	hintWorkdir = "check workdir: it, or a part of it, is no folder of the image"
	hintUser    = "the image names a user or a group that it does not have"
	hintImage   = "rebuild the image"
	hintFound   = "check the image's name; private images are not supported"
	hintDisk    = "free some space"
)

// createWords are said when a container is created. 20.10 says all of them with status 500.
var createWords = []word{
	{Has: "no space left on device", Code: market.CodeDiskFull, Hint: hintDisk, Seen: "20.10.24"},
	{Has: "disk quota exceeded", Code: market.CodeDiskFull, Hint: hintDisk, Seen: "source 20.10.24"},
	{Has: "cannot mkdir", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "20.10.24"},
	{Has: "too many links", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "20.10.24"},
	{Has: "too many levels of symbolic links", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "source 28.5.2"},
	{Has: "not a directory", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "20.10.24"},
	{Has: "file name too long", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "20.10.24"},
	{Has: "is not directory", Code: market.CodeImageRefused, Hint: "a VOLUME of the image is a file: " + hintImage,
		Seen: "20.10.24"},
	{Has: "destination can't be '/'", Code: market.CodeImageRefused,
		Hint: "a VOLUME of the image is its root: " + hintImage,
		Seen: "20.10.24"},
	{Has: "invalid mount config", Code: market.CodeImageRefused, Hint: "a VOLUME of the image is no path: " + hintImage,
		Seen: "20.10.24"},
	{Has: "duplicate mount point", Code: market.CodeImageRefused,
		Hint: "two VOLUMEs of the image are one path: " + hintImage,
		Seen: "source 20.10.24"},
	{Has: "invalid environment variable", Code: market.CodeImageRefused,
		Hint: "ENV of the image has no name: " + hintImage,
		Seen: "20.10.24"},
	{Has: "no command specified", Code: market.CodeStartCommand, Hint: "the image has no command: give one",
		Seen: "20.10.24"},
	{Has: "no such image", Seen: "20.10.24"},     // somebody removed it: it is pulled again
	{Has: "no such container", Seen: "20.10.24"}, // the guard's: it is made again
}

// startWords are said when a container is started.
var startWords = []word{
	{Has: "no space left on device", Code: market.CodeDiskFull, Hint: hintDisk, Seen: "source 20.10.24"},
	{Has: "unable to find user", Code: market.CodeStartCommand, Hint: hintUser, Seen: "20.10.24"},
	{Has: "unable to find group", Code: market.CodeStartCommand, Hint: hintUser, Seen: "20.10.24"},
	{Has: "no matching entries in passwd", Code: market.CodeStartCommand, Hint: hintUser, Seen: "20.10.24"},
	{Has: "no matching entries in group", Code: market.CodeStartCommand, Hint: hintUser, Seen: "20.10.24"},
	{Has: "uids and gids must be in range", Code: market.CodeStartCommand, Hint: hintUser, Seen: "20.10.24"},
	{Has: "could not select device driver", Code: market.CodeGPUMissing, Hint: "install the NVIDIA container toolkit",
		Seen: "20.10.24"},
	{Has: "unresolvable cdi devices", Code: market.CodeCDIStale,
		Hint: "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml", Seen: "source 28.5.2"},
	{Has: "nvidia-container-cli", Code: market.CodeGPUMissing, Hint: "gpuai doctor",
		Seen: "source nvidia-container-toolkit 1.17"},
	{Has: "chdir to cwd", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "source runc 1.1.5"},
	{Has: "mkdir /", Code: market.CodeStartCommand, Hint: hintWorkdir, Seen: "source runc 1.1.5"},
	{Has: "not a directory", Code: market.CodeStartCommand, Hint: "a WORKDIR, a VOLUME or /etc of the image is a file",
		Seen: "source runc 1.1.5"},
	{Has: "argument list too long", Code: market.CodeStartCommand,
		Hint: "command and environment are too long: shorten them",
		Seen: "20.10.24"},
	{Has: "can't contain null", Code: market.CodeStartCommand, Hint: "a variable holds a zero byte", Seen: "20.10.24"},
	{Has: "no such container", Code: market.CodeGuardLost, Hint: "try again", Seen: "20.10.24"},
	{Has: "cannot join network of a non running container", Code: market.CodeGuardLost, Hint: "try again",
		Seen: "source 20.10.24"},
}

// initWords are the runtime's last ones in the log of a container whose first process, ours, never came up.
var initWords = []word{
	{Has: "argument list too long", Code: market.CodeStartCommand,
		Hint: "command and environment are too long: shorten them",
		Seen: "20.10.24"},
	{Has: "exec user process caused", Code: market.CodeStartCommand, Hint: "check command and image", Seen: "20.10.24"},
	{Has: "exec /.gpuai/", Code: market.CodeStartCommand, Hint: "check command and image", Seen: "source runc 1.2"},
}

// pullWords are said when an image is pulled; the first that fits decides.
var pullWords = []word{
	{Has: "no space left on device", Code: market.CodeDiskFull, Hint: hintDisk, Seen: "20.10.24"},
	{Has: "disk quota exceeded", Code: market.CodeDiskFull, Hint: hintDisk, Seen: "source 20.10.24"},
	{Has: "toomanyrequests", Seen: "20.10.24"}, // until the registry says otherwise
	{Has: "too many requests", Seen: "source 20.10.24"},
	{Has: "unexpected http status: 429", Seen: "20.10.24"},
	{Has: "permission denied", Seen: "source 20.10.24"}, // of the rig's own disk
	// A layer that arrived whole, by its digest, and does not unpack never will.
	{Has: "failed to register layer", Code: market.CodeImageRefused,
		Hint: hintImage + ", with gzip layers where zstd is refused", Seen: "20.10.24"},
	{Has: "invalid tar header", Code: market.CodeImageRefused,
		Hint: hintImage + ", with gzip layers where zstd is refused",
		Seen: "20.10.24"},
	{Has: "invalid diffid", Code: market.CodeImageRefused, Hint: hintImage, Seen: "20.10.24"},
	{Has: "does not match", Code: market.CodeImageRefused, Hint: hintImage, Seen: "20.10.24"},
	{Has: "invalid checksum", Code: market.CodeImageRefused, Hint: hintImage, Seen: "20.10.24"},
	{Has: "verification failed", Code: market.CodeImageRefused, Hint: hintImage, Seen: "20.10.24"},
	{Has: "failed digest validation", Code: market.CodeImageRefused, Hint: hintImage, Seen: "source 28.5.2"},
	{Has: "mismatched image rootfs and manifest layers", Code: market.CodeImageRefused, Hint: hintImage,
		Seen: "source 20.10.24"},
	{Has: "unsupported media", Code: market.CodeImageRefused, Hint: hintImage, Seen: "source 20.10.24"},
	{Has: "unsupported manifest", Code: market.CodeImageRefused, Hint: hintImage, Seen: "source 20.10.24"},
	{Has: "cannot be used on this platform", Code: market.CodeImageRefused, Hint: "only linux/amd64 runs here",
		Seen: "source 20.10.24"},
	{Has: "no matching manifest", Code: market.CodeImageRefused, Hint: "only linux/amd64 runs here", Seen: "20.10.24"},
	{Has: "max depth exceeded", Code: market.CodeImageRefused, Hint: "it has too many layers: " + hintImage,
		Seen: "source 20.10.24"},
	{Has: "manifest unknown", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "blob unknown", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "name unknown", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "source 20.10.24"},
	{Has: "name invalid", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "source 20.10.24"},
	{Has: "repository name not known", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "source 20.10.24"},
	{Has: "invalid reference", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "source 20.10.24"},
	{Has: "does not exist", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "unauthorized", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "no basic auth", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "authentication required", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "forbidden", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "denied", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
	{Has: "not found", Code: market.CodeImageNotFound, Hint: hintFound, Seen: "20.10.24"},
}

// said finds the first word of a table in an error; nil if none is there.
func said(table []word, err error) *word {
	if err == nil {
		return nil
	}
	text := strings.ToLower(err.Error())
	for i := range table {
		if strings.Contains(text, table[i].Has) {
			return &table[i]
		}
	}
	return nil
}

func has(err error, words ...string) bool {
	for _, w := range words {
		if err != nil && strings.Contains(err.Error(), w) {
			return true
		}
	}
	return false
}

func saysNotRunning(err error) bool    { return has(err, "is not running") }      // kill, 20.10.24
func saysAlreadyPaused(err error) bool { return has(err, "already paused") }      // pause, 20.10.24
func saysOverlap(err error) bool       { return has(err, "overlap") }             // network create, 20.10.24
func saysRemoving(err error) bool      { return has(err, "already in progress") } // remove, 20.10.24
func saysBusyDisk(err error) bool      { return has(err, "already running") }     // disk usage, 20.10.24
func saysTooMany(err error) bool {
	return has(err, "toomanyrequests", "Too Many Requests", "status: 429")
} // pull, 20.10.24

// answered reports that the engine itself said no: it lives, and repeating its answer for ever would be no use.
func answered(err error) bool {
	return cerrdefs.IsInternal(err) || cerrdefs.IsUnavailable(err) || cerrdefs.IsConflict(err) ||
		cerrdefs.IsNotFound(err) || refusedFor(err)
}

// refusedFor reports a status that no repetition changes: 400, 401, 403, 501 and their kin.
func refusedFor(err error) bool {
	return cerrdefs.IsInvalidArgument(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) ||
		cerrdefs.IsNotImplemented(err) || cerrdefs.IsOutOfRange(err)
}

// stepError sorts what a step of the preparation met by a table of words, then by status. Final: another code than
// engine-error; what may pass is engine-error, with the cause inside.
func stepError(table []word, op string, err error) error {
	var me *market.Error
	if err == nil || errors.As(err, &me) || errors.Is(err, context.Canceled) {
		return err
	}
	if w := said(table, err); w != nil && w.Code != "" {
		return &market.Error{Code: w.Code, Kind: market.KindInvalid, Op: op, Detail: spoken(err), Err: err,
			Hint: w.Hint}
	}
	return engineError(op, err)
}

// rigPath is a path of the engine's storage, which is nobody's business but the owner's: only what follows it is a path
// of the image.
var rigPath = regexp.MustCompile(
	`/[^\s"':]*?/(?:overlay2|fuse-overlayfs|overlayfs|aufs|btrfs|zfs|vfs|devicemapper|snapshots|tmp)/[^\s/"':]+(?:/(?:merged|diff|fs|dir|subvolumes|mnt|rootfs))*(?:/[0-9a-f]{64})?`)

// engineNoise stands before what matters.
var engineNoise = strings.NewReplacer(
	"Error response from daemon: ", "", "failed to create shim task: ", "", "failed to create task for container: ", "",
	"OCI runtime create failed: ", "",
	"runc create failed: ", "", "unable to start container process: ", "",
)

// spoken is an engine's message for other people's eyes: without paths of the rig, the middle cut out if it is longer
// than 256 bytes, since the cause stands at its end.
func spoken(err error) string {
	const most = 256
	s := rigPath.ReplaceAllString(engineNoise.Replace(err.Error()), "")
	s = strings.ToValidUTF8(strings.TrimSpace(strings.TrimSuffix(s, ": unknown")), "")
	if len(s) <= most {
		return s
	}
	head, tail := s[:most/2-3], s[len(s)-most/2:]
	for !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	return head + "…" + strings.ToValidUTF8(tail, "")
}

// cut is a message of at most 256 bytes.
func cut(s string) string {
	if len(s) > 256 {
		s = s[:256]
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "")
}
