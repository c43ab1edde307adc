package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/sandbox"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

// loadTools brings the helper's image and fills its volume: a created container that mounts an empty volume over a
// directory of its image copies the directory there, and need never run.
func (e *Engine) loadTools(ctx context.Context) (*prepared, error) {
	t, err := sandbox.ToolsImage()
	if err != nil {
		return nil, err
	}
	id, err := e.toolsImage(ctx, t)
	if err != nil {
		return nil, err
	}
	vol := "gpuai-tools-" + t.Config[len("sha256:"):][:12]
	if err := e.makeVolume(ctx, vol, map[string]string{"gpuai.tools": t.Config}); err != nil {
		return nil, engineError("create volume", err)
	}
	if err := e.fillTools(ctx, t, id, vol); err != nil {
		return nil, engineError("fill volume", err)
	}
	p := &prepared{tools: id, volume: vol}
	lim, err := e.runProbe(ctx, p, "limits", guard.ProbeConfig{}, "none")
	if err != nil {
		return nil, err
	}
	p.hard = map[string]int64{"nofile": lim.Limits["nofile"], "memlock": lim.Limits["memlock"]}
	return p, nil
}

// fillTools creates the container that fills the volume, and removes it.
func (e *Engine) fillTools(ctx context.Context, t sandbox.Tools, id, vol string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	name := e.prefix() + "tools"
	// left by a crash; a failure shows in create
	_ = e.api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true})
	// by name: a create whose answer was lost may have made it
	defer func() {
		actx, cancel := whole(ctx, askTimeout)
		defer cancel()
		if rerr := e.api.ContainerRemove(actx, name, container.RemoveOptions{Force: true}); rerr != nil &&
			!notFound(rerr) {
			err = errors.Join(err, rerr)
		}
	}()
	mctx, mcancel := whole(ctx, createTimeout)
	defer mcancel()
	c, err := e.api.ContainerCreate(mctx, &container.Config{Image: id, Cmd: []string{"gate"}}, &container.HostConfig{
		NetworkMode: "none", Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: vol, Target: t.Dir}},
	}, nil, nil, name)
	if err != nil {
		return err
	}
	st, err := e.api.ContainerStatPath(ctx, c.ID, t.Dir+"/sandbox")
	if err == nil && st.Size == 0 {
		err = errors.New("the helper in it is empty")
	}
	return err
}

// toolsImage returns the image's id; only the id computed here is taken.
func (e *Engine) toolsImage(ctx context.Context, t sandbox.Tools) (string, error) {
	find := func() string {
		actx, cancel := ask(ctx)
		defer cancel()
		img, err := e.api.ImageInspect(actx, t.Name)
		if err == nil && (img.ID == t.Config || img.ID == t.Manifest) {
			return img.ID
		}
		return ""
	}
	if id := find(); id != "" {
		return id, nil
	}
	resp, err := e.api.ImageLoad(ctx, bytes.NewReader(t.Archive))
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
			Code: "engine-error", Kind: market.KindUnavailable, Op: "load sandbox image",
			Detail: "the engine made another image of it",
			Hint:   "gpuai doctor",
		}
	}
	return id, nil
}

// runProbe runs the probe in a container of the tools' own image and the job's profile.
func (e *Engine) runProbe(ctx context.Context, p *prepared, what string, cfg guard.ProbeConfig,
	network string) (guard.ProbeReport, error) {
	var rep guard.ProbeReport
	arg, err := json.Marshal(cfg)
	if err != nil {
		return rep, err
	}
	c, host, err := e.probeConfig(ctx, p, string(arg), network)
	if err != nil {
		return rep, err
	}
	name := e.prefix() + what
	// left by a crash; a failure shows in create
	_ = e.api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true})
	out, err := e.runOnce(ctx, name, c, host)
	if err != nil {
		return rep, engineError("run probe", err)
	}
	if err := json.Unmarshal(out, &rep); err != nil {
		return rep, engineError("run probe", fmt.Errorf("read report %q: %w", cut(string(out)), err))
	}
	return rep, nil
}

// runOnce creates, starts, waits, reads at most 16 KiB of standard output, and removes.
func (e *Engine) runOnce(ctx context.Context, name string, c *container.Config, host *container.HostConfig) (out []byte,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	defer func() { // by name: a create whose answer was lost may have made it
		rctx, rcancel := whole(ctx, askTimeout)
		defer rcancel()
		if rerr := e.api.ContainerRemove(rctx, name, container.RemoveOptions{Force: true}); rerr != nil &&
			!notFound(rerr) && err == nil {
			err = rerr
		}
	}()
	mctx, mcancel := whole(ctx, createTimeout)
	defer mcancel()
	made, err := e.api.ContainerCreate(mctx, c, host, nil, nil, name)
	if err != nil {
		return nil, err
	}
	done, werr := e.api.ContainerWait(ctx, made.ID, container.WaitConditionNextExit)
	if err := e.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case err := <-werr:
		return nil, err
	}
	err = e.readLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true},
		func(_ byte, b []byte) error {
			if len(out)+len(b) > 16<<10 {
				return fmt.Errorf("more than 16 KiB")
			}
			out = append(out, b...)
			return nil
		})
	return out, err
}
