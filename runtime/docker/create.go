package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// create makes everything before the start: image, volumes, guard, container. Each is found by name if it is there
// already.
func (e *Engine) create(ctx context.Context, k job.Key, p job.Plan, r row,
	note func(job.Observed)) (*container.InspectResponse, row, error) {
	if err := late(p, "image-stalled"); err != nil {
		return nil, r, err
	}
	note(job.Observed{State: job.Pulling, Progress: job.Progress{Phase: "pull", Total: p.Image.CompressedBytes}})
	prep, err := e.prepare(ctx)
	if err != nil {
		return nil, r, err
	}
	img, err := e.ensureImage(ctx, p, note)
	if err != nil {
		return nil, r, err
	}
	f, err := e.facts(ctx, p, prep)
	if err != nil {
		return nil, r, err
	}
	network := "none"
	if word := egressWord(p.Egress); word != "" {
		g, err := e.ensureGuard(ctx, k, p, word, prep, f)
		if err != nil {
			return nil, r, err
		}
		network = "container:" + g.ID
		r.Handle.GuardID, r.Handle.GuardStarted = g.ID, g.State.StartedAt
	}
	labels := map[string]string{labelLease: k.Lease.String(), labelAttempt: strconv.Itoa(k.Attempt),
		labelSpec: specHash(p)}
	volumes := e.volumesOf(k, img)
	for _, v := range volumes {
		if err := e.makeVolume(ctx, v, map[string]string{labelLease: k.Lease.String()}); err != nil {
			return nil, r, engineError("create volume", err)
		}
	}
	cfg, host := jobConfig(p, img, labels, network, prep.volume, volumes, f)
	c, err := e.createContainer(ctx, e.name(k, "job"), cfg, host)
	if err != nil {
		return nil, r, err
	}
	if err := e.ownWorkspace(ctx, c.ID, cfg.User); err != nil {
		return nil, r, engineError("prepare workspace", err)
	}
	r.Handle.JobID, r.Handle.SpecHash, r.Handle.BootID = c.ID, labels[labelSpec], bootID()
	if err := e.save(ctx, k, r); err != nil {
		return nil, r, fmt.Errorf("save job row: %w", err)
	}
	return c, r, nil
}

// createContainer creates by name; one that exists is taken, for a create whose answer was lost.
func (e *Engine) createContainer(ctx context.Context, name string, cfg *container.Config,
	host *container.HostConfig) (*container.InspectResponse, error) {
	select {
	case e.creates <- struct{}{}:
		defer func() { <-e.creates }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	cctx, cancel := whole(ctx, createTimeout)
	_, cerr := e.api.ContainerCreate(cctx, cfg, host, nil, nil, name)
	cancel()
	c, ierr := e.inspect(ctx, name)
	if c != nil && c.Config.Labels[labelLease] == cfg.Labels[labelLease] {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, stepError(createWords, "create container", errors.Join(cerr, ierr))
}

func (e *Engine) makeVolume(ctx context.Context, name string, labels map[string]string) error {
	ctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	_, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: labels})
	return err
}

// removeVolumes removes the volumes of a lease, by label and name.
func (e *Engine) removeVolumes(ctx context.Context, k job.Key) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	list, err := e.api.VolumeList(ctx,
		volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelLease+"="+k.Lease.String()))})
	if err != nil {
		return err
	}
	for _, v := range list.Volumes {
		if !strings.HasPrefix(v.Name, e.volume(k, "")) {
			continue
		}
		if err := e.api.VolumeRemove(ctx, v.Name, false); err != nil && !notFound(err) {
			return err
		}
	}
	return nil
}

// ownWorkspace gives /workspace to the user of the image. Root owns it anyway. The entry is written from above: the
// engine skips the directory that an archive is unpacked into.
func (e *Engine) ownWorkspace(ctx context.Context, id, user string) error {
	uid, gid, err := e.idsOf(ctx, id, user)
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
	return e.api.CopyToContainer(ctx, id, "/", &b, container.CopyToContainerOptions{})
}

// idsOf resolves a USER: numbers, or a name of the image's passwd file.
func (e *Engine) idsOf(ctx context.Context, id, user string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(user, ":")
	if name == "" || name == "root" || name == "0" {
		return 0, 0, nil
	}
	gid, _ = strconv.Atoi(group)
	if uid, err = strconv.Atoi(name); err == nil {
		return uid, gid, nil
	}
	rc, _, err := e.api.CopyFromContainer(ctx, id, "/etc/passwd")
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

// facts reads what the profile depends on. Errors: *market.Error cdi-stale; the engine's.
func (e *Engine) facts(ctx context.Context, p job.Plan, prep *prepared) (facts, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	info, err := e.api.Info(ctx)
	if err != nil {
		return facts{}, engineError("ask engine", err)
	}
	_, err = os.Stat("/proc/sys/net/ipv6")
	f := facts{hard: prep.hard, logSize: e.logSize, ipv6: err == nil}
	for _, o := range info.SecurityOptions {
		f.appArmor = f.appArmor || strings.Contains(o, "apparmor")
	}
	for _, d := range p.Devices {
		if d.Kind == "gpu" && len(info.CDISpecDirs) > 0 && hasCDI(info.CDISpecDirs) {
			f.cdi = true
			if !cdiNames(info.CDISpecDirs, d.UUID) {
				return f, &market.Error{
					Code: "cdi-stale", Kind: market.KindUnavailable, Op: "select devices",
					Detail: "no CDI file names " + d.UUID,
					Hint:   "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
				}
			}
		}
	}
	return f, nil
}

func cdiFiles(dirs []string) (out []string) {
	for _, d := range dirs {
		for _, ext := range []string{"*.yaml", "*.json"} {
			m, _ := filepath.Glob(filepath.Join(d, ext)) // the pattern is valid
			out = append(out, m...)
		}
	}
	return out
}

func hasCDI(dirs []string) bool { return cdiNames(dirs, "nvidia.com/gpu") }

func cdiNames(dirs []string, word string) bool {
	for _, f := range cdiFiles(dirs) {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), word) {
			return true
		}
	}
	return false
}
