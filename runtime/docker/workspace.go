package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

func (cs *containers) makeVolume(ctx context.Context, name string, labels map[string]string) error {
	ctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	_, err := cs.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: labels})
	return err
}

// removeVolumes removes the volumes of a lease, by label and name.
func (cs *containers) removeVolumes(ctx context.Context, k job.Key) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	list, err := cs.api.VolumeList(ctx,
		volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelLease+"="+k.Lease.String()))})
	if err != nil {
		return err
	}
	for _, v := range list.Volumes {
		if !strings.HasPrefix(v.Name, cs.volume(k, "")) {
			continue
		}
		if err := cs.api.VolumeRemove(ctx, v.Name, false); err != nil && !notFound(err) {
			return err
		}
	}
	return nil
}

// ownWorkspace gives /workspace to the user of the image. Root owns it anyway. The entry is written from above: the
// engine skips the directory that an archive is unpacked into.
func (cs *containers) ownWorkspace(ctx context.Context, id, user string) error {
	uid, gid, err := cs.idsOf(ctx, id, user)
	if err != nil || uid == 0 {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: spec.Workspace[1:] + "/", Mode: 0o755, Uid: uid,
		Gid: gid})
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return cs.api.CopyToContainer(ctx, id, "/", &b, container.CopyToContainerOptions{})
}

// idsOf resolves a USER: numbers, or a name of the image's passwd file.
func (cs *containers) idsOf(ctx context.Context, id, user string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(user, ":")
	if name == "" || name == "root" || name == "0" {
		return 0, 0, nil
	}
	gid, _ = strconv.Atoi(group)
	if uid, err = strconv.Atoi(name); err == nil {
		return uid, gid, nil
	}
	rc, _, err := cs.api.CopyFromContainer(ctx, id, "/etc/passwd")
	if notFound(err) {
		return 0, 0, nil // start says what is wrong
	}
	if err != nil {
		return 0, 0, err
	}
	defer rc.Close()
	tr := tar.NewReader(rc)
	if _, err := tr.Next(); err != nil {
		return 0, 0, err
	}
	raw, err := io.ReadAll(io.LimitReader(tr, 1<<20))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 3 && f[0] == name {
			uid, _ = strconv.Atoi(f[2])
			if group == "" {
				gid, _ = strconv.Atoi(f[3])
			}
			return uid, gid, nil
		}
	}
	return 0, 0, nil
}
