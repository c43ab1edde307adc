package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

// jobCaps is the effective set of the profile's eight capabilities.
const jobCaps = "00000000000004fb"

// open runs the gate's exec: it reads what init sees, and opens only for the leased devices in the sandbox of the
// profile.
func (a *attempt) open(ctx context.Context) (job.Observed, error) {
	if !a.c.State.Running {
		return a.seen(ctx)
	}
	gctx, cancel := context.WithTimeout(ctx, guard.GateTimeout)
	defer cancel()
	res, devices, err := a.gate(gctx)
	var me *market.Error
	if err != nil && !errors.As(err, &me) {
		if o, lerr := a.look(ctx); lerr == nil && o.State == job.Exited {
			return o, nil // it went while we asked
		}
		return a.see(), engineError("open gate", err)
	}
	if err != nil {
		return a.see(), err
	}
	a.row.Opened, a.row.Devices = true, devices
	a.row.Handle.PID, a.row.Handle.PIDStart = a.c.State.Pid, pidStart(a.c.State.Pid)
	if !res.Started {
		a.row.StartFailed = cut(res.Detail)
	}
	if err := a.save(ctx); err != nil {
		return a.see(), err
	}
	if !res.Started {
		return a.failed(ctx, &market.Error{Code: market.CodeStartCommand, Kind: market.KindInvalid, Op: "start job",
			Detail: res.Detail, Hint: "check command and image"})
	}
	return a.see(), nil // Running was true: that the job ran is said once, even if it is over by now
}

// gate talks to the gate, and returns the devices that it saw.
func (a *attempt) gate(ctx context.Context) (res guard.GateResult, seen []string, err error) {
	x, err := a.api.ContainerExecCreate(ctx, a.c.ID, container.ExecOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: helperArgv("gate"),
	})
	if err != nil {
		return res, nil, err
	}
	conn, err := a.api.ContainerExecAttach(ctx, x.ID, container.ExecAttachOptions{})
	if err != nil {
		return res, nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	pr, pw := io.Pipe()
	defer pr.Close()
	a.wg.Go(func() {
		_ = pw.CloseWithError(demux(conn.Reader, func(stream byte, b []byte) error {
			if stream != 1 {
				return nil
			}
			_, err := pw.Write(b)
			return err
		}))
	})
	dec := json.NewDecoder(bufio.NewReader(io.LimitReader(pr, 64<<10)))
	var rep guard.GateReport
	if err := dec.Decode(&rep); err != nil {
		return res, nil, fmt.Errorf("read gate: %w", err)
	}
	if seen, err = checkGate(rep, a.want.Plan.Devices); err != nil {
		return res, nil, err
	}
	if _, err := io.WriteString(conn.Conn, "open\n"); err != nil {
		return res, nil, fmt.Errorf("tell gate: %w", err)
	}
	if err := dec.Decode(&res); err != nil {
		return res, nil, fmt.Errorf("hear gate: %w", err)
	}
	return res, seen, nil
}

// checkGate compares what init saw with what was leased. The UUIDs it saw are returned.
func checkGate(rep guard.GateReport, devices []job.Device) ([]string, error) {
	if rep.CapEff != jobCaps || rep.Seccomp != 2 || rep.NoNewP != 1 {
		// An image's own user has fewer capabilities, never others.
		if !(rep.CapEff == "0000000000000000" && rep.Seccomp == 2 && rep.NoNewP == 1) {
			return nil, &market.Error{
				Code: market.CodeSandboxWeak, Kind: market.KindUnavailable, Op: "open gate", Hint: "gpuai doctor",
				Detail: fmt.Sprintf("capabilities %s, seccomp %d, no_new_privs %d", rep.CapEff, rep.Seccomp,
					rep.NoNewP),
			}
		}
	}
	var want, got []string
	for _, d := range devices {
		if d.Kind == "gpu" {
			want = append(want, d.UUID)
		}
	}
	for _, n := range rep.Minors {
		if u := rep.UUIDs[fmt.Sprint(n)]; u != "" {
			got = append(got, u)
		} else {
			got = append(got, fmt.Sprintf("minor %d", n))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return nil, &market.Error{
			Code: market.CodeGPUMissing, Kind: market.KindUnavailable, Op: "open gate",
			Detail: fmt.Sprintf("expected %v, found %v", want, got),
			Hint:   "gpuai doctor",
		}
	}
	return got, nil
}
