package market

// PurchaseEffect is what there is to do in a state of a Purchase; the set is sealed. Its value is its key: while it is
// due it is done once at a time, and it may be begun again after a restart. What comes of it is an event.
type PurchaseEffect interface{ isPurchaseEffect() }

// Effects of a Purchase.
type (
	// AskQuotes: match the book, ask providers; feed back QuoteChosen or NoQuote. First is asked alone, before the
	// book. Patient: the book may not have filled yet, or its best rig was lost: wait for one that fits.
	AskQuotes struct {
		Round   uint32
		First   NodeID
		Patient bool
	}
	// WatchBook: feed back BookMoved once the book holds a rig that may be free.
	WatchBook struct{ Round uint32 }
	// MakeChannel: have a channel that carries a lease of at most Limit; feed back ChannelReady or NoChannel.
	MakeChannel struct {
		Round uint32
		Limit Amount
	}
	// SignLease: sign the lease; feed back LeaseSigned or NoChannel.
	SignLease struct {
		Round   uint32
		Channel ChannelID
		Limit   Amount
	}
	// FollowLease: run the lease's machine; feed back LeaseOver, and LeaseGone if it lingers.
	FollowLease struct{ Lease LeaseID }
	// StopLease: tell the lease's machine; feed back StopTold.
	StopLease struct {
		Lease LeaseID
		Code  Code
		Kill  bool
		N     uint16
	}
	// BringHome: the channel is not needed any more; feed back Settled or RefundWaits.
	BringHome struct{ Channel ChannelID }
)

func (AskQuotes) isPurchaseEffect()   {}
func (WatchBook) isPurchaseEffect()   {}
func (MakeChannel) isPurchaseEffect() {}
func (SignLease) isPurchaseEffect()   {}
func (FollowLease) isPurchaseEffect() {}
func (StopLease) isPurchaseEffect()   {}
func (BringHome) isPurchaseEffect()   {}

// Due is what there is to do, a function of the state alone: after an event and after a restart it is the same.
func (p Purchase) Due() (out []PurchaseEffect) {
	switch p.Stage {
	case StageSearching:
		out = append(out, WatchBook{p.Round})
	case StageQuoting:
		e := AskQuotes{Round: p.Round, Patient: p.Resumed || len(p.Lost) > 0}
		if p.Prefer {
			e.First = p.Provider
		}
		out = append(out, e)
	case StageFunding:
		out = append(out, MakeChannel{p.Round, p.Left()})
	case StageProposing:
		out = append(out, SignLease{p.Round, p.Channel, p.Left()})
	case StageLeased:
		out = append(out, FollowLease{p.Lease})
		if p.Stops > p.Told {
			out = append(out, StopLease{p.Lease, p.StopCode, p.Kill, p.Stops})
		}
	case StageRefunding:
		out = append(out, BringHome{p.Channel})
	}
	if p.Lingers {
		out = append(out, FollowLease{p.Lease})
	}
	return out
}
