package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
	"github.com/gpuai/gpuai/runtime/spec"
)

// tools are what every container of ours needs: the helper, in an image and a volume, and the facts of the engine that
// the profile depends on.
type tools struct {
	*life
	*containers
	logSize string    // of one file of a job's log; tests make it small
	turn    slots     // of whoever prepares: the containers have fixed names
	ready   *prepared // guarded by turn
}

// prepared is what the first lease needs once per life of this node.
type prepared struct {
	tools  string // image id
	volume string
	hard   map[string]int64 // hard limits that a container can have
}

// prepare loads the helper's image and fills its volume, once; after a failure, or when somebody removed them (docker
// system prune), the next call does it again: a job over an empty volume would end for want of its own init.
func (t *tools) prepare(ctx context.Context) (*prepared, error) {
	free, err := t.turn.take(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	if t.ready != nil && t.there(ctx, t.ready) {
		return t.ready, nil
	}
	p, err := t.make(t.ctx) // not the job's: it is for all, and a job that is stopped must not leave it half done
	if err != nil {
		return nil, err
	}
	t.ready = p
	return p, nil
}

// there reports whether nothing of p is known to be gone.
func (t *tools) there(ctx context.Context, p *prepared) bool {
	ctx, cancel := ask(ctx)
	defer cancel()
	_, verr := t.api.VolumeInspect(ctx, p.volume)
	_, ierr := t.api.ImageInspect(ctx, p.tools)
	return !notFound(verr) && !notFound(ierr)
}

// make brings the helper's image and fills its volume: a created container that mounts an empty volume over a
// directory of its image copies the directory there, and need never run.
func (t *tools) make(ctx context.Context) (*prepared, error) {
	helper, err := sandbox.ToolsImage()
	if err != nil {
		return nil, err
	}
	id, err := t.image(ctx, helper)
	if err != nil {
		return nil, err
	}
	vol := "gpuai-tools-" + helper.Config[len("sha256:"):][:12]
	if err := t.makeVolume(ctx, vol, map[string]string{"gpuai.tools": helper.Config}); err != nil {
		return nil, engineError("create volume", err)
	}
	if err := t.fill(ctx, helper, id, vol); err != nil {
		return nil, engineError("fill volume", err)
	}
	p := &prepared{tools: id, volume: vol}
	lim, err := t.probe(ctx, p, "limits", guard.ProbeConfig{}, "none")
	if err != nil {
		return nil, err
	}
	p.hard = map[string]int64{"nofile": lim.Limits["nofile"], "memlock": lim.Limits["memlock"]}
	return p, nil
}

// fill creates the container that fills the volume, and removes it.
func (t *tools) fill(ctx context.Context, helper sandbox.Tools, id, vol string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	name := t.prefix() + "tools"
	_ = t.sweep(ctx, name) // left by a crash; a failure shows in create
	defer func() { err = errors.Join(err, t.sweep(ctx, name)) }()
	mctx, mcancel := whole(ctx, createTimeout)
	defer mcancel()
	c, err := t.api.ContainerCreate(mctx, &container.Config{Image: id, Cmd: []string{"gate"}}, &container.HostConfig{
		NetworkMode: "none", Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: vol, Target: helper.Dir}},
	}, nil, nil, name)
	if err != nil {
		return err
	}
	st, err := t.api.ContainerStatPath(ctx, c.ID, helper.Dir+"/sandbox")
	if err == nil && st.Size == 0 {
		err = errors.New("the helper in it is empty")
	}
	return err
}

// image returns the image's id; only the id computed here is taken.
func (t *tools) image(ctx context.Context, helper sandbox.Tools) (string, error) {
	find := func() string {
		actx, cancel := ask(ctx)
		defer cancel()
		img, err := t.api.ImageInspect(actx, helper.Name)
		if err == nil && (img.ID == helper.Config || img.ID == helper.Manifest) {
			return img.ID
		}
		return ""
	}
	if id := find(); id != "" {
		return id, nil
	}
	resp, err := t.api.ImageLoad(ctx, bytes.NewReader(helper.Archive))
	if err != nil {
		return "", engineError("load sandbox image", err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return "", engineError("load sandbox image", err)
	}
	id := find()
	if id == "" {
		return "", &market.Error{
			Code: market.CodeEngineError, Kind: market.KindUnavailable, Op: "load sandbox image",
			Detail: "the engine made another image of it",
			Hint:   "gpuai doctor",
		}
	}
	return id, nil
}

// probe runs the probe in a container of the tools' own image and the job's profile.
func (t *tools) probe(ctx context.Context, p *prepared, what string, cfg guard.ProbeConfig,
	network string) (guard.ProbeReport, error) {
	var rep guard.ProbeReport
	arg, err := json.Marshal(cfg)
	if err != nil {
		return rep, err
	}
	c, host, err := t.config(ctx, p, string(arg), network)
	if err != nil {
		return rep, err
	}
	name := t.prefix() + what
	_ = t.sweep(ctx, name) // left by a crash; a failure shows in create
	out, err := t.once(ctx, name, c, host)
	if err != nil {
		return rep, engineError("run probe", err)
	}
	if err := json.Unmarshal(out, &rep); err != nil {
		return rep, engineError("run probe", fmt.Errorf("read report %q: %w", cut(string(out)), err))
	}
	return rep, nil
}

// once creates, starts, waits, reads at most 16 KiB of standard output, and removes.
func (t *tools) once(ctx context.Context, name string, c *container.Config, host *container.HostConfig) (out []byte,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	defer func() { err = errors.Join(err, t.sweep(ctx, name)) }()
	mctx, mcancel := whole(ctx, createTimeout)
	defer mcancel()
	made, err := t.api.ContainerCreate(mctx, c, host, nil, nil, name)
	if err != nil {
		return nil, err
	}
	done, werr := t.api.ContainerWait(ctx, made.ID, container.WaitConditionNextExit)
	if err := t.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case err := <-werr:
		return nil, err
	}
	err = t.readLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true},
		func(_ byte, b []byte) error {
			if len(out)+len(b) > 16<<10 {
				return fmt.Errorf("more than 16 KiB")
			}
			out = append(out, b...)
			return nil
		})
	return out, err
}

// config is the job's own profile for the helper's image, so that what is probed is what jobs get.
func (t *tools) config(ctx context.Context, p *prepared, arg, network string) (*container.Config,
	*container.HostConfig, error) {
	plan := job.Plan{Spec: spec.Spec{}, CPUMilli: 1000, RAM: probeMemory, Shm: 16 << 20}
	f, err := t.facts(ctx, nil, p)
	if err != nil {
		return nil, nil, err
	}
	img := &image.InspectResponse{ID: p.tools, Config: &dockerspec.DockerOCIImageConfig{}}
	c, h := jobConfig(plan, img, map[string]string{"gpuai.probe": "1"}, network, p.volume, nil, f)
	c.Entrypoint, c.Cmd = helperArgv("probe"), []string{arg}
	return c, h, nil
}
