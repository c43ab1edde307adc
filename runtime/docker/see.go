package docker

import (
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

// see turns an inspection and the row into what is seen. c nil: no container.
func see(r row, c *container.InspectResponse) job.Observed {
	o := job.Observed{Handle: r.handleJSON(), Devices: r.Devices, Code: r.Code, Detail: r.Detail}
	if c == nil {
		switch {
		case r.Code != "":
			o.State = job.FailedState
		case !r.Start || r.Removed:
			o.State = job.Absent
		case otherBoot(r):
			o.State, o.Exit, o.Code = job.Exited, -1, market.CodeRigRestarted
		default:
			o.State, o.Exit, o.Code, o.Detail = job.Exited, -1, market.CodeContainerLost,
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
		r.why(&o)
	}
	if r.Code != "" {
		o.State, o.Code, o.Detail = job.FailedState, r.Code, r.Detail
	}
	if !r.FirstKill.IsZero() && o.State == job.Running && time.Since(r.FirstKill) > stuckAfter {
		o.Code, o.Detail = market.CodeDeviceStuck, "killed 60 s ago, still there"
	}
	return o
}

// why names a cause other than the job's own exit.
func (r row) why(o *job.Observed) {
	oom := o.OOM && o.Exit != 0 // the flag stays for any process of the container that was ever killed
	if o.OOM && !oom {
		o.OOM, o.Detail = false, "a process of the job was killed for memory"
	}
	switch {
	case otherBoot(r):
		o.Exit, o.Code, o.OOM = -1, market.CodeRigRestarted, false // the engine's exit code is invented then
	case r.EndCode != "":
		o.Code = r.EndCode
	case r.StartFailed != "":
		o.Code, o.Detail = market.CodeStartCommand, r.StartFailed
	case !r.Opened && o.Exit == guard.ExitNotOpened:
		o.Code, o.Detail = market.CodeSandboxWeak, "the gate was not opened in time"
	case !r.Opened && (o.Exit == guard.ExitNotExecutable || o.Exit == guard.ExitNotFound):
		o.Code = market.CodeStartCommand
	case oom:
		o.Code = market.CodeJobOOM
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

func otherBoot(r row) bool { return r.Handle.BootID != "" && r.Handle.BootID != bootID() }

// silent is what is seen of an engine that does not answer.
func silent(r row) job.Observed {
	return job.Observed{State: job.Unknown, Handle: r.handleJSON(), PID: r.Handle.PID}
}
