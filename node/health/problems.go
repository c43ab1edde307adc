package health

import "github.com/gpuai/gpuai/market"

// Problem is what doctor says of one code: the code's row, and what a finding of it costs.
type Problem struct {
	Code   market.Code `json:"code"`
	Level  string      `json:"level"`
	Effect string      `json:"effect"`
	Title  string      `json:"title"`
	Fix    string      `json:"fix"`
}

// cost is what a finding costs.
type cost struct{ level, effect string }

var costs = map[market.Code]cost{
	market.CodeSystemUnsupported:    {Fail, "no-sell"},
	market.CodeDataDirOpen:          {Fail, "no-sell"},
	market.CodeDataDirRemote:        {Fail, "no-sell"},
	market.CodeDataDirUnusable:      {Fail, "no-sell"},
	market.CodeDiskSlow:             {Warn, "none"},
	market.CodeDiskFull:             {Fail, "no-sell"},
	market.CodeShareTooLarge:        {Warn, "tier"},
	market.CodeNetIsolated:          {Fail, "no-sell"},
	market.CodeUDPBlocked:           {Warn, "none"},
	market.CodeEpochOld:             {Warn, "tier"},
	market.CodeRelayOnly:            {Warn, "tier"},
	market.CodeCarrierNAT:           {Warn, "tier"},
	market.CodeUnreachable:          {Fail, "no-sell"},
	market.CodeGossipStale:          {Warn, "none"},
	market.CodeOfferUnseen:          {Warn, "tier"},
	market.CodeUDPBufferSmall:       {Warn, "none"},
	market.CodeEngineError:          {Fail, "no-sell"},
	market.CodeEngineUnsupported:    {Fail, "no-sell"},
	market.CodeRuncOld:              {Fail, "no-sell"},
	market.CodeNoLiveRestore:        {Warn, "none"},
	market.CodeNvidiaDefaultRuntime: {Fail, "no-sell"},
	market.CodeGPUNone:              {Warn, "tier"},
	market.CodeGPUUnhealthy:         {Fail, "no-sell"},
	market.CodeDriverError:          {Fail, "no-sell"},
	market.CodeChainUnreachable:     {Fail, "no-sell"},
	market.CodeWrongLedger:          {Fail, "no-sell"},
	market.CodeOneEndpoint:          {Warn, "none"},
	market.CodePayoutEmpty:          {Warn, "none"},
	market.CodePayoutUnset:          {Warn, "none"},
}

// Problems returns what can be wrong with a machine, in the order of the table of codes.
func Problems() (out []Problem) {
	for _, m := range market.Meanings() {
		if p, ok := lookup(m.Code); ok {
			out = append(out, p)
		}
	}
	return out
}

// lookup finds what doctor says of a code; false: doctor does not find it.
func lookup(code market.Code) (Problem, bool) {
	m, _ := code.Meaning()
	c, ok := costs[code]
	m = m.Plain()
	return Problem{code, c.level, c.effect, m.Means, m.Fix}, ok
}
