package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/gpuai/gpuai/runtime/job"
)

// Deadlines of single calls.
const (
	askTimeout    = 10 * time.Second // inspect, list, volumes
	createTimeout = 60 * time.Second
	startTimeout  = 120 * time.Second
	freezeTimeout = 5 * time.Second
)

// maxCreates is how many containers the engine makes at once for this node.
const maxCreates = 4

// containers makes, finds, signals and removes the containers and volumes of this node. Each call has a deadline.
type containers struct {
	names
	api     *client.Client
	creates slots
}

// slots bound how many do something at once. Unlike a lock, waiting for one ends with a context.
type slots chan struct{}

// take waits for a slot. Errors: ctx's.
func (s slots) take(ctx context.Context) (free func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// whole is for a call that makes or removes something: it is not cut off with ctx, since the engine would go on with
// it, and what it makes then appears behind the removal.
func whole(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// ask bounds one short call.
func ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTimeout)
}

func notFound(err error) bool { return cerrdefs.IsNotFound(err) }

// inspect returns nil, nil if there is no such container.
func (cs *containers) inspect(ctx context.Context, name string) (*container.InspectResponse, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	c, err := cs.api.ContainerInspect(ctx, name)
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case c.ContainerJSONBase == nil || c.State == nil || c.Config == nil || c.HostConfig == nil:
		return nil, errors.New("the engine's answer is incomplete")
	}
	return &c, nil
}

// create creates by name; one that exists is taken, for a create whose answer was lost.
func (cs *containers) create(ctx context.Context, name string, cfg *container.Config,
	host *container.HostConfig) (*container.InspectResponse, error) {
	free, err := cs.creates.take(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	cctx, cancel := whole(ctx, createTimeout)
	_, cerr := cs.api.ContainerCreate(cctx, cfg, host, nil, nil, name)
	cancel()
	c, ierr := cs.inspect(ctx, name)
	if c != nil && c.Config.Labels[labelLease] == cfg.Labels[labelLease] {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, stepError(createWords, "create container", errors.Join(cerr, ierr))
}

func (cs *containers) start(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return cs.api.ContainerStart(ctx, id, container.StartOptions{})
}

// remove removes a lease's container of this role if it is this lease's.
func (cs *containers) remove(ctx context.Context, k job.Key, role string) error {
	name := cs.name(k, role)
	c, err := cs.inspect(ctx, name)
	if err != nil || c == nil {
		return err
	}
	if c.Config.Labels[labelLease] != k.Lease.String() {
		return fmt.Errorf("container %s is not of this lease", name)
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	return dispose(ctx, cs.api, c.ID)
}

// dispose ends and removes a container with its anonymous volumes. One that is gone is removed; one that somebody else
// is removing is waited for: the engine refuses a second removal, and its name is free only after the first.
func dispose(ctx context.Context, api *client.Client, id string) error {
	err := api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if saysRemoving(err) {
		return over(ctx, api, id, container.WaitConditionRemoved)
	}
	if notFound(err) {
		return nil
	}
	return err
}

// removeAll removes a lease's containers, the job before its guard.
func (cs *containers) removeAll(ctx context.Context, k job.Key) error {
	for _, role := range []string{"job", "guard"} {
		if err := cs.remove(ctx, k, role); err != nil {
			return engineError("remove "+role, err)
		}
	}
	return nil
}

// sweep removes a container that is no lease's, by its whole name: a create whose answer was lost may have made it.
func (cs *containers) sweep(ctx context.Context, name string) error {
	ctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	return dispose(ctx, cs.api, name)
}

// kill of a process that is gone is done.
func (cs *containers) kill(ctx context.Context, id, signal string) error {
	ctx, cancel := ask(ctx)
	defer cancel()
	err := cs.api.ContainerKill(ctx, id, "SIG"+signal)
	if err != nil && (notFound(err) || saysNotRunning(err)) {
		return nil
	}
	return err
}

func (cs *containers) freeze(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	if err := cs.api.ContainerPause(ctx, id); err != nil && !saysAlreadyPaused(err) {
		return err
	}
	return nil
}

func (cs *containers) thaw(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	return cs.api.ContainerUnpause(ctx, id)
}

// handOver is how long init may take to kill everything and hand the rest of the log over, before it is killed itself.
const handOver = 2 * time.Second

// end ends every process of a job. Init is asked first: SIGKILL would lose the output that is in its pipes. A frozen
// job must be thawed to end either way; unlike the engine's own kill, init then ends it and not the kernel, within
// milliseconds.
func (cs *containers) end(ctx context.Context, c *container.InspectResponse) error {
	// guard.SignalEnd
	if slices.Contains(c.Config.Entrypoint, modeCapture) && c.State.Running && cs.kill(ctx, c.ID, "RTMAX") == nil {
		if c.State.Paused {
			_ = cs.thaw(ctx, c.ID) // the kill below thaws too
		}
		octx, cancel := context.WithTimeout(ctx, handOver)
		defer cancel()
		if over(octx, cs.api, c.ID, container.WaitConditionNotRunning) == nil {
			return nil
		}
	}
	return cs.kill(ctx, c.ID, "KILL")
}

// over waits for a container's end. Errors: the engine's; ctx's.
func over(ctx context.Context, api *client.Client, id string, end container.WaitCondition) error {
	done, errs := api.ContainerWait(ctx, id, end)
	select {
	case <-done:
		return nil
	case err := <-errs:
		if notFound(err) {
			return nil
		}
		return err
	}
}

// killed asks the engine's short memory whether a signal was sent to this container through it. The engine tells of a
// signal only after it was sent, so that the end may be seen before: for that it is listened to a moment longer.
func (cs *containers) killed(ctx context.Context, c *container.InspectResponse) bool {
	ctx, cancel := ask(ctx)
	defer cancel()
	msgs, errs := cs.api.Events(ctx, events.ListOptions{
		Since: c.State.StartedAt, Until: time.Now().Add(hearsay).Format(time.RFC3339Nano),
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("event", "kill"),
			filters.Arg("container", c.ID)),
	})
	select {
	case <-msgs:
		return true
	case <-errs: //nolint:errcheck // the end, or no answer
		return false
	}
}

// hearsay is how long after an end the engine may still tell of the signal that caused it.
const hearsay = 300 * time.Millisecond

// list lists the containers of this node's leases.
func (cs *containers) list(ctx context.Context) ([]job.Found, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	all, err := cs.api.ContainerList(ctx,
		container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", "^/"+cs.prefix()))})
	if err != nil {
		return nil, engineError("list containers", err)
	}
	var out []job.Found
	for _, c := range all {
		if len(c.Names) == 0 {
			continue
		}
		k, role, ok := cs.keyOf(c.Names[0], c.Labels[labelLease])
		if !ok {
			continue
		}
		out = append(out, job.Found{
			Key: k, Role: role, ContainerID: c.ID, Running: c.State == "running" ||
				c.State == "paused", Paused: c.State == "paused",
		})
	}
	return out, nil
}

// readLogs gives every message of a container's log.
func (cs *containers) readLogs(ctx context.Context, id string, o container.LogsOptions,
	f func(stream byte, b []byte) error) error {
	rc, err := cs.api.ContainerLogs(ctx, id, o)
	if err != nil {
		return err
	}
	defer rc.Close()
	return demux(rc, f)
}
