package docker

import (
	"context"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
)

// handOver is how long init may take to kill everything and hand the rest of the log over, before it is killed itself.
const handOver = 2 * time.Second

// killJob ends every process of a job. Init is asked first: SIGKILL would lose the output that is in its pipes. A
// frozen job must be thawed to end either way; unlike the engine's own kill, init then ends it and not the kernel,
// within milliseconds.
func (e *Engine) killJob(ctx context.Context, c *container.InspectResponse) error {
	// guard.SignalEnd
	if slices.Contains(c.Config.Entrypoint, modeCapture) && c.State.Running && e.kill(ctx, c.ID, "RTMAX") == nil {
		if c.State.Paused {
			_ = e.thaw(ctx, c.ID) // the kill below thaws too
		}
		for end := time.Now().Add(handOver); time.Now().Before(end); {
			now, err := e.inspect(ctx, c.ID)
			if err == nil && (now == nil || !now.State.Running) {
				return nil
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				break
			}
		}
	}
	return e.kill(ctx, c.ID, "KILL")
}
