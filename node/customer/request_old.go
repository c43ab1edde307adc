package customer

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// oldRequest is a request as order rows had it before they kept the job file.
type oldRequest struct {
	Name                                       string
	Spec                                       spec.Spec
	Terms                                      []market.Term
	Classes                                    []string
	Devices                                    int
	CPUMilli                                   uint32
	RAM, Disk, Shm                             uint64
	Egress                                     uint8
	MaxRate                                    market.Rate
	MaxTotal                                   market.Amount
	MaxDuration, StartTimeout, StopGrace, Away time.Duration
	Providers, Exclude                         []market.NodeID
	OutputTo                                   []string
}

// UnmarshalJSON reads the request of an order's row, of any version.
func (r *Request) UnmarshalJSON(raw []byte) error {
	type plain Request
	if err := json.Unmarshal(raw, (*plain)(r)); err != nil {
		return err
	}
	if r.File.Schema != "" {
		return nil
	}
	var old oldRequest
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	r.File = old.file(r.Image.Ref)
	return nil
}

// file is the job that the fields were made of. Its terms are those of GPU and placement together.
func (o oldRequest) file(image string) spec.File {
	f := spec.NewFile(image)
	f.Name, f.CPUMilli, f.Memory, f.Disk, f.Shm, f.Egress = o.Name, o.CPUMilli, o.RAM, o.Disk, o.Shm, o.Egress
	f.GPU = spec.GPU{AnyOf: o.Classes, Count: o.Devices, None: slices.Equal(o.Classes, []string{market.ClassCPU})}
	f.Command, f.Args, f.Workdir, f.Env = o.Spec.Command, o.Spec.Args, o.Spec.Workdir, o.Spec.Env
	f.Init, f.StopSignal, f.StopGrace = o.Spec.Init, o.Spec.StopSignal, o.StopGrace
	for _, in := range o.Spec.Inputs {
		f.Inputs = append(f.Inputs, spec.Source{To: in.To})
	}
	f.Outputs = o.Spec.Outputs
	for i, to := range o.OutputTo[:min(len(o.OutputTo), len(f.Outputs))] {
		f.Outputs[i].To = to
	}
	f.Limits = spec.FileLimits{MaxTotal: o.MaxTotal, MaxDuration: o.MaxDuration, StartTimeout: o.StartTimeout,
		Away: o.Away}
	if o.MaxRate != market.MaxRate { // how it was written that there is none
		f.Limits.MaxRate = o.MaxRate
	}
	notCPU := func(t market.Term) bool { // any GPU: the job adds it itself
		return t.Field == market.FieldClass && t.Not && slices.Equal(t.Classes, []string{market.ClassCPU})
	}
	f.Placement = spec.Placement{Where: slices.DeleteFunc(o.Terms, notCPU), Providers: o.Providers,
		Exclude: o.Exclude}
	return f
}
