package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

// see turns an inspection and the row into what is seen. c nil: no container.
func (e *Engine) see(k job.Key, r row, c *container.InspectResponse) job.Observed {
	o := job.Observed{Handle: r.handleJSON(), Devices: r.Devices, Code: r.Code, Detail: r.Detail}
	if c == nil {
		switch {
		case r.Code != "":
			o.State = job.FailedState
		case !r.Start || r.Removed:
			o.State = job.Absent
		case otherBoot(r):
			o.State, o.Exit, o.Code = job.Exited, -1, "rig-restarted"
		default:
			o.State, o.Exit, o.Code, o.Detail = job.Exited, -1, "container-lost",
				"the container was removed by someone else"
		}
		return o
	}
	st := c.State
	o.ContainerID, o.PID, o.OOM = c.ID, st.Pid, st.OOMKilled
	o.Started, _ = time.Parse(time.RFC3339Nano, st.StartedAt) // labels: an odd time is none
	o.Finished, _ = time.Parse(time.RFC3339Nano, st.FinishedAt)
	switch {
	case st.Paused:
		o.State = job.PausedState
	case st.Running && !r.Opened:
		o.State = job.Gated
	case st.Running:
		o.State = job.Running
	case st.Status == "created":
		o.State = job.Created
	default:
		o.State, o.Exit = job.Exited, st.ExitCode
		e.whyExited(r, &o)
	}
	if r.Code != "" {
		o.State, o.Code, o.Detail = job.FailedState, r.Code, r.Detail
	}
	if !r.FirstKill.IsZero() && o.State == job.Running && time.Since(r.FirstKill) > stuckAfter {
		o.Code, o.Detail = "device-stuck", "killed 60 s ago, still there"
	}
	return o
}

// whyExited names a cause other than the job's own exit.
func (e *Engine) whyExited(r row, o *job.Observed) {
	oom := o.OOM && o.Exit != 0 // the flag stays for any process of the container that was ever killed
	if o.OOM && !oom {
		o.OOM, o.Detail = false, "a process of the job was killed for memory"
	}
	switch {
	case otherBoot(r):
		o.Exit, o.Code, o.OOM = -1, "rig-restarted", false // the engine's exit code is invented then
	case r.EndCode != "":
		o.Code = r.EndCode
	case r.StartFailed != "":
		o.Code, o.Detail = "start-command", r.StartFailed
	case !r.Opened && o.Exit == guard.ExitNotOpened:
		o.Code, o.Detail = "sandbox-weak", "the gate was not opened in time"
	case !r.Opened && (o.Exit == guard.ExitNotExecutable || o.Exit == guard.ExitNotFound):
		o.Code = "start-command"
	case oom:
		o.Code = "job-oom"
		if o.Exit != exitKilled {
			o.Detail = "a process of the job was killed for memory"
		}
	case r.Killed != "":
		o.Code, o.Detail = r.Killed, "ended by a signal that neither its customer nor a limit sent"
	}
}

// What a process that a signal ended leaves behind.
const (
	exitKilled     = 128 + 9
	exitTerminated = 128 + 15
)

// unexplained reports an end by a signal that nobody here sent, and that no limit did.
func (r row) unexplained(c *container.InspectResponse) bool {
	st := c.State
	return st.Status == "exited" && (st.ExitCode == exitKilled || st.ExitCode == exitTerminated) && !st.OOMKilled &&
		r.Killed == "" && r.EndCode == "" &&
		r.Code == "" && !r.Stop && r.FirstKill.IsZero() && !otherBoot(r)
}

// explain looks once for who ended a job that nobody here ended: a container that vanishes now was removed, and the
// engine remembers signals that came through it. Otherwise it may have been the job itself, the rig's owner, or the rig
// for want of memory.
func (e *Engine) explain(ctx context.Context, k job.Key, r row, c *container.InspectResponse) (row,
	*container.InspectResponse, error) {
	if err := pause(ctx, vanishing); err != nil {
		return r, c, err
	}
	now, err := e.inspect(ctx, e.name(k, "job"))
	if err != nil || now == nil {
		return r, now, err
	}
	r.Killed = "job-killed"
	if e.signalled(ctx, c) {
		r.Killed = "provider-stop"
	}
	return r, now, e.save(ctx, k, r)
}

// vanishing is how long a container that is being removed may still be seen.
const vanishing = 300 * time.Millisecond

// signalled asks the engine's short memory whether somebody sent this container a signal.
func (e *Engine) signalled(ctx context.Context, c *container.InspectResponse) bool {
	ctx, cancel := ask(ctx)
	defer cancel()
	msgs, errs := e.api.Events(ctx, events.ListOptions{
		Since: c.State.StartedAt, Until: time.Now().Format(time.RFC3339Nano),
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("event", "kill"),
			filters.Arg("container", c.ID)),
	})
	select {
	case <-msgs:
		return true
	case <-errs: // the end, or no answer
		return false
	}
}

func otherBoot(r row) bool { return r.Handle.BootID != "" && r.Handle.BootID != bootID() }

// silent is what is seen of an engine that does not answer.
func silent(r row) job.Observed {
	return job.Observed{State: job.Unknown, Handle: r.handleJSON(), PID: r.Handle.PID}
}

// Alive tells without the engine whether the job's first process lives: pid and start time agree with the handle.
func (e *Engine) Alive(ctx context.Context, k job.Key) bool {
	r, err := e.load(ctx, k)
	return err == nil && r.Handle.PID > 0 && !otherBoot(r) && pidStart(r.Handle.PID) == r.Handle.PIDStart &&
		r.Handle.PIDStart != 0
}
