package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// script is an engine that answers inspections of the job, each with the next state and the last one for ever, and
// notes what else it is asked.
type script struct {
	mu      sync.Mutex
	states  []container.State
	guard   container.State
	told    bool // its events tell of a signal
	asked   []string
	listens bool // until a moment after the question
}

const jobID = "job-id"

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var answer any
	switch {
	case strings.HasSuffix(path, "/json") && strings.Contains(path, "guard"):
		answer = inspection("guard-id", s.guard)
	case strings.HasSuffix(path, "/json"):
		answer = inspection(jobID, s.states[0])
		if len(s.states) > 1 {
			s.states = s.states[1:]
		}
	case path == "events":
		var sec, ns int64
		_, err := fmt.Sscanf(r.FormValue("until"), "%d.%d", &sec, &ns)
		if s.listens = err == nil && time.Unix(sec, ns).After(time.Now()); s.told {
			answer = map[string]any{"Type": "container", "Action": "kill"}
		}
	case path == "volumes":
		answer = map[string]any{}
	case path != "":
		s.asked = append(s.asked, r.Method+" "+path)
	}
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func inspection(id string, st container.State) container.InspectResponse {
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: id, State: &st, HostConfig: &container.HostConfig{}},
		Config:            &container.Config{Labels: leaseLabels(job.Key{})},
	}
}

// saved are rows: each load gives the next one and the last one for ever; a save replaces all.
type saved struct {
	mu   sync.Mutex
	rows []row
}

func (s *saved) Load(context.Context, job.Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[0]
	if len(s.rows) > 1 {
		s.rows = s.rows[1:]
	}
	return json.Marshal(r)
}

func (s *saved) Save(_ context.Context, _ job.Key, raw []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := parseRow(raw)
	s.rows = []row{r}
	return err
}

// scripted is an engine over a script; its row says that the job was started on this boot.
func scripted(t *testing.T, s *script, opened ...bool) *Engine {
	t.Helper()
	mem := &saved{}
	for _, o := range opened {
		mem.rows = append(mem.rows, row{Start: true, Opened: o, Handle: handle{JobID: jobID, BootID: bootID()}})
	}
	sock := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(s)
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	e, err := New(Config{Peer8: "abcd1234", Host: "unix://" + sock}, mem, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return e
}

var (
	runs   = container.State{Status: "running", Running: true}
	killed = container.State{Status: "exited", ExitCode: exitKilled}
)

// An end is said with its reason, by whichever call sees it first: one that only looks is no exception.
func TestObserve_KilledByANeighbour_HasItsReason(t *testing.T) {
	t.Parallel()
	for told, code := range map[bool]market.Code{true: market.CodeProviderStop, false: market.CodeJobKilled} {
		s := &script{states: []container.State{killed}, told: told}
		o, err := scripted(t, s, true).Observe(t.Context(), job.Key{})
		if err != nil || o.State != job.Exited || o.Code != code {
			t.Errorf("got %+v, %v, want %s", o, err, code)
		}
		if !s.listens {
			t.Error("an event behind the end would be missed")
		}
	}
}

// A job that ends while its gate is being opened: the row that was read before knows nothing of the opening.
func TestObserve_RowOlderThanTheEnd_IsReadAgain(t *testing.T) {
	t.Parallel()
	s := &script{states: []container.State{{Status: "exited", ExitCode: 127}}}
	if o, err := scripted(t, s, false, true).Observe(t.Context(), job.Key{}); err != nil || o.Code != "" ||
		o.Exit != 127 {
		t.Errorf("got %+v, %v", o, err)
	}
}

// A container that is being removed shows an exit code for a moment: it is nobody's.
func TestReconcile_BeingRemoved_IsLost(t *testing.T) {
	t.Parallel()
	removing := container.State{Status: "removing", ExitCode: exitKilled}
	for _, phase := range []job.Phase{job.WantRunning, job.WantPaused} {
		e := scripted(t, &script{states: []container.State{removing}}, true)
		if o, err := e.Reconcile(t.Context(), job.Key{}, job.Want{Phase: phase}); err != nil ||
			o.Code != market.CodeContainerLost {
			t.Errorf("got %+v, %v", o, err)
		}
	}
}

// A job that ends by itself while its end is being decided has done what it was paid for.
func TestReconcile_EndsBesideItsGuard_KeepsItsOwnEnd(t *testing.T) {
	t.Parallel()
	s := &script{states: []container.State{runs, {Status: "exited"}}, guard: container.State{Status: "exited"}}
	e := scripted(t, s, true)
	e.jobs.rows.Memory.(*saved).rows[0].Handle.GuardID = "guard-id"
	o, err := e.Reconcile(t.Context(), job.Key{}, job.Want{Phase: job.WantRunning})
	if err != nil || o.State != job.Exited || o.Code != "" {
		t.Errorf("got %+v, %v", o, err)
	}
	if len(s.asked) > 0 {
		t.Errorf("the engine was asked to %q", s.asked)
	}
}

// One has a key's turn at a time; a removal that waits for it ends with its context.
func TestTurn_Taken_IsWaitedFor(t *testing.T) {
	t.Parallel()
	e := scripted(t, &script{states: []container.State{runs}}, true)
	en := e.enter(job.Key{})
	if err := en.turn(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Remove(done, job.Key{}); !errors.Is(err, context.Canceled) {
		t.Errorf("two have the turn: %v", err)
	}
	en.release()
	if err := en.turn(done, false); err != nil {
		t.Errorf("the turn is not given back: %v", err)
	}
	en.release()
}

// What was removed is not remembered.
func TestRemove_Entry_LeavesMemory(t *testing.T) {
	t.Parallel()
	s := &script{states: []container.State{runs}}
	e := scripted(t, s, true)
	if o, err := e.Reconcile(t.Context(), job.Key{}, job.Want{Phase: job.WantRunning}); o.State != job.Running {
		t.Fatalf("got %+v, %v", o, err)
	}
	if err := e.Remove(t.Context(), job.Key{}); err != nil {
		t.Fatal(err)
	}
	if n := len(e.entries); n != 0 {
		t.Errorf("%d entries", n)
	}
	if len(s.asked) == 0 || !strings.HasPrefix(s.asked[0], "DELETE containers/"+jobID) {
		t.Errorf("the engine was asked to %q", s.asked)
	}
}

// TestEndings_Table: what is done for each state of container, row and grace.
func TestEndings_Table(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		st    *container.State
		row   row
		grace time.Duration
		want  string
	}{
		{nil, row{}, time.Minute, "clear"},
		{nil, row{Start: true}, 0, "clear"},
		{&container.State{Status: "created"}, row{}, 0, "clear"},
		{&killed, row{}, time.Minute, "settle"},
		{&killed, row{EndCode: market.CodeDiskFull}, 0, "settle"},
		{&runs, row{}, time.Minute, "ask"},
		{&container.State{Status: "paused", Running: true, Paused: true}, row{}, time.Minute, "ask"},
		{&runs, row{Stop: true}, time.Minute, "wait"},
		{&runs, row{Stop: true}, 0, "kill"},
		{&runs, row{EndCode: market.CodeDiskFull}, time.Minute, "kill"},
		{&runs, row{LastKill: now.Add(-killEvery / 2)}, 0, "wait"},
		{&runs, row{LastKill: now.Add(-killEvery)}, 0, "kill"},
		{&runs, row{LastKill: now}, time.Minute, "ask"},
	} {
		a := &attempt{row: c.row, want: job.Want{Grace: c.grace}}
		if c.st != nil {
			i := inspection(jobID, *c.st)
			a.c = &i
		}
		if got := (teardown{a, now}).ending().name; got != c.want {
			t.Errorf("%s: got %s, want %s", fmt.Sprintf("%+v %+v %v", c.st, c.row, c.grace), got, c.want)
		}
	}
}
