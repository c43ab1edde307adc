package gpu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/gpuai/gpuai/runtime/gpu/nvml"
)

// Limits of the agent's protocol: JSON lines {v, id, op}, one answer per request, in order.
const (
	protocol = 1
	maxLine  = 1 << 20
	opTime   = 5 * time.Second
)

// ErrNoDriver reports a machine without an NVIDIA driver, or a build without NVML: a CPU-only rig, no fault.
var ErrNoDriver = errors.New("no NVIDIA driver")

type request struct {
	V  int    `json:"v"`
	ID int    `json:"id"`
	Op string `json:"op"` // inventory, sample
}

type response struct {
	V        int           `json:"v"`
	ID       int           `json:"id"`
	NoDriver bool          `json:"no_driver,omitempty"`
	Error    string        `json:"error,omitempty"`
	Devices  []nvml.Device `json:"devices,omitempty"`
	Samples  []nvml.Sample `json:"samples,omitempty"`
}

// RunAgent is the child's side: it answers requests until stdin ends. It returns nil at the end of stdin, else the
// fault of the pipe. NVML stays open between requests. Run it as the only work of a process: the driver may end that
// process.
func RunAgent(in io.Reader, out io.Writer) error {
	lib := nvml.Open()
	defer lib.Close()
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	enc := json.NewEncoder(out)
	for sc.Scan() {
		var q request
		if err := json.Unmarshal(sc.Bytes(), &q); err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		if err := enc.Encode(answer(lib, q)); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	return sc.Err()
}

func answer(lib *nvml.Library, q request) response {
	r := response{V: protocol, ID: q.ID}
	var err error
	switch {
	case q.V != protocol:
		err = fmt.Errorf("protocol %d is not %d", q.V, protocol)
	case q.Op == "inventory":
		r.Devices, err = lib.Devices()
	case q.Op == "sample":
		r.Samples, err = lib.Samples()
	default:
		err = fmt.Errorf("unknown op %q", q.Op)
	}
	if errors.Is(err, nvml.ErrNoDriver) {
		r.NoDriver = true
	} else if err != nil {
		r.Error = err.Error()
	}
	return r
}

// ask starts a child, sends one request and returns its answer. The child never outlives the call: a hang or a crash of
// the driver is an error here and nothing else.
func ask(ctx context.Context, exe string, args []string, op string) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, opTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return response{}, fmt.Errorf("gpu agent: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return response{}, fmt.Errorf("gpu agent: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return response{}, fmt.Errorf("start gpu agent: %w", err)
	}
	r, err := exchange(stdin, stdout, request{V: protocol, ID: 1, Op: op})
	_ = stdin.Close() // the agent ends at the end of stdin
	if err != nil {
		cancel()
		return r, fmt.Errorf("gpu agent: %w", errors.Join(err, cmd.Wait()))
	}
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("gpu agent ended: %w", err)
	}
	return r, nil
}

func exchange(w io.Writer, r io.Reader, q request) (response, error) {
	if err := json.NewEncoder(w).Encode(q); err != nil {
		return response{}, fmt.Errorf("send %s: %w", q.Op, err)
	}
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	if !sc.Scan() {
		if err := sc.Err(); err != nil {
			return response{}, fmt.Errorf("read answer: %w", err)
		}
		return response{}, fmt.Errorf("read answer: %w", io.ErrUnexpectedEOF)
	}
	return decode(sc.Bytes(), q.ID)
}

func decode(line []byte, id int) (response, error) {
	var a response
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	switch {
	case a.V != protocol || a.ID != id:
		return a, fmt.Errorf("answer %d of protocol %d to request %d", a.ID, a.V, id)
	case a.Error != "":
		return a, fmt.Errorf("NVML: %s", a.Error)
	case len(a.Devices) > maxSim || len(a.Samples) > maxSim:
		return a, fmt.Errorf("answer names more than %d devices", maxSim)
	}
	return a, nil
}
