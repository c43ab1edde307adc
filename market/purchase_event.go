package market

import "time"

// PurchaseEvent is what happens to a Purchase; the set is sealed. An event that carries a Round or a Lease is legal
// only while that is the newest.
type PurchaseEvent interface{ purchaseKind() purchaseKind }

// purchaseKind numbers the events, for the transition table.
type purchaseKind uint8

const (
	kInputsHere purchaseKind = iota
	kQuoteChosen
	kNoQuote
	kBookMoved
	kChannelReady
	kNoChannel
	kLeaseSigned
	kLeaseOver
	kLeaseGone
	kOrderStopped
	kStopTold
	kBudgetRaised
	kOrderFailed
	kOrderTick
	kSettled
	kRefundWaits
	kNodeStarted
	numPurchaseKinds
)

// Events of a Purchase.
type (
	// InputsHere: the inputs are in the spool.
	InputsHere struct{}
	// QuoteChosen: this provider's quote is the best.
	QuoteChosen struct {
		Round    uint32
		Provider NodeID
		Rate     Rate
	}
	// NoQuote: nobody gave one. Patience is how long that may last since the search began, 0: it is final. Rented: all
	// that fits is rented. Scarce: another rig may come that fits, or one come free: it is worth the order's Wait.
	// Again: when to look again. Waits is what people read meanwhile.
	NoQuote struct {
		Round    uint32
		Why      Reason
		Patience time.Duration
		Rented   bool
		Scarce   bool
		Again    time.Duration
		Waits    string
	}
	// BookMoved: the book holds a rig that may be free and has not refused this order.
	BookMoved struct{ Round uint32 }
	// ChannelReady: the channel carries the lease. Deposit is all that it holds.
	ChannelReady struct {
		Round   uint32
		Channel ChannelID
		Deposit Amount
	}
	// NoChannel: no channel was made ready, or no lease was signed on it. Passes: another look may end otherwise.
	// Unfit: only for the channel's sake.
	NoChannel struct {
		Round         uint32
		Why           Reason
		Passes, Unfit bool
	}
	// LeaseSigned: commit it together with the lease's documents.
	LeaseSigned struct {
		Round uint32
		Lease LeaseID
	}
	// LeaseOver: nothing of the lease's money waits for its provider any more. State is its machine's. Passes: a lease
	// that never began was refused for what may pass, or for what another provider may not share. Unfit: for its
	// channel, which others used too. Keep: the channel stays open.
	LeaseOver struct {
		Lease               LeaseID
		State               LeaseState
		Code                Code
		Detail, Hint        string
		Fault               Fault
		Signed, Owed        Amount
		Passes, Unfit, Keep bool
	}
	// LeaseGone: a lease that lingered has come to its end.
	LeaseGone struct{ Lease LeaseID }
	// OrderStopped: the user ends the order. Kill: without grace.
	OrderStopped struct{ Kill bool }
	// StopTold: the lease's machine has the stop number N.
	StopTold struct{ N uint16 }
	// BudgetRaised: the order may cost more.
	BudgetRaised struct{ Budget Amount }
	// OrderFailed: this node cannot go on with it.
	OrderFailed struct{ Why Reason }
	// OrderTick: NextTimer has passed. Used is when the job was last heard or used; now, while it does not run or is
	// not seen.
	OrderTick struct{ Used time.Time }
	// Settled: a channel of the order is finished. Paid and Returned are the part of its Lease; zero: none was signed.
	Settled struct {
		Channel        ChannelID
		Lease          LeaseID
		Paid, Returned Amount
		Tx             string
	}
	// RefundWaits: the money comes back later, without the order.
	RefundWaits struct{ Channel ChannelID }
	// NodeStarted: the node's process is new.
	NodeStarted struct{}
)

func (InputsHere) purchaseKind() purchaseKind   { return kInputsHere }
func (QuoteChosen) purchaseKind() purchaseKind  { return kQuoteChosen }
func (NoQuote) purchaseKind() purchaseKind      { return kNoQuote }
func (BookMoved) purchaseKind() purchaseKind    { return kBookMoved }
func (ChannelReady) purchaseKind() purchaseKind { return kChannelReady }
func (NoChannel) purchaseKind() purchaseKind    { return kNoChannel }
func (LeaseSigned) purchaseKind() purchaseKind  { return kLeaseSigned }
func (LeaseOver) purchaseKind() purchaseKind    { return kLeaseOver }
func (LeaseGone) purchaseKind() purchaseKind    { return kLeaseGone }
func (OrderStopped) purchaseKind() purchaseKind { return kOrderStopped }
func (StopTold) purchaseKind() purchaseKind     { return kStopTold }
func (BudgetRaised) purchaseKind() purchaseKind { return kBudgetRaised }
func (OrderFailed) purchaseKind() purchaseKind  { return kOrderFailed }
func (OrderTick) purchaseKind() purchaseKind    { return kOrderTick }
func (Settled) purchaseKind() purchaseKind      { return kSettled }
func (RefundWaits) purchaseKind() purchaseKind  { return kRefundWaits }
func (NodeStarted) purchaseKind() purchaseKind  { return kNodeStarted }
