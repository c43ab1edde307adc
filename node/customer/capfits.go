package customer

import (
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// CapFits refuses a cap that does not pay for a tick of work before the job is told to stop: such an order would open a
// channel for nothing.
// Error: cap-too-small.
func CapFits(rate market.Rate, r *Request, tick time.Duration) *market.Error {
	devices := r.File.Devices()
	runs, grace := market.CapTime(rate, devices, r.File.Limits.MaxTotal, r.File.Limits.MaxDuration, r.File.StopGrace)
	if rate == 0 || runs >= tick {
		return nil
	}
	price, err := rate.For(devices, tick+min(r.File.StopGrace, r.File.Limits.MaxDuration/2))
	if err != nil {
		price = r.File.Limits.MaxTotal
	}
	return &market.Error{
		Code: market.CodeCapTooSmall, Kind: market.KindConflict, Op: "check cap",
		Detail: fmt.Sprintf("a cap of %s SOL pays for %s before the job is told to stop, and %s of grace; a tick of "+
			"this rig is %s",
			r.File.Limits.MaxTotal.SOL(), runs, grace, tick),
		Hint: "--max-total " + (price + 1).SOL(),
	}
}
