// Package store keeps a node's truth in one bbolt file.
//
// Invariants: Commit returns nil only once the change is on disk; guards that fail refuse their own Change and no
// other; after a failed sync nothing more is acknowledged or read; values are copied out. Concurrency: any goroutine;
// one committer writes, what queues during a commit joins the next. Persistence: state.db, below; it is private to its
// user, locked by one process, and checked before it is used.
// Next: store.go, docs/flows/crash.md.
//
//	meta      "schema"                    -> version u32
//	          "clean"                     -> present while the store is closed in order
//	orders    OrderID                     -> order row
//	leases    LeaseID                     -> lease row: documents, as received or signed
//	ticks     LeaseID                     -> the lease's machine and newest Receipt, binary, at most 1 KiB
//	channels  ChannelID                   -> what changes seldom of a channel's books, JSON
//	shares    ChannelID ‖ LeaseID         -> a lease's share of the channel, binary
//	vouchers  ChannelID ‖ amount u64      -> the 50 signed bytes and the signature
//	own_ticks, own_channels, own_shares, own_vouchers -> the same of the customer's role
//	devices   DeviceID                    -> device row
//	debts     payer or node key (text)    -> debt row
//	chain     intent key                  -> sender record
//	jobs      LeaseID ‖ attempt           -> engine intents and handle
//	offers    "seq"                       -> last Offer number
//	peers     NodeID                      -> peer record
//	events    sequence u64                -> what happened (state, money, security); meta "events_floor" -> newest pruned sequence u64
//	earned    day u32 ‖ DeviceID          -> what a device brought on a day
//	past      LeaseID                     -> sold lease that is over: its last tick, who, on what
//	past_ends ended ms u64 ‖ LeaseID      -> 1
//	own_past  OrderID                     -> own order that is over: its lease's tick, its row
//	own_past_times placed ms u64 ‖ OrderID -> 1
//	own_past_words what names it (text) 0 ‖ OrderID -> 1
//	own_past_channels ChannelID           -> own channel that is gone, with its newest voucher, JSON
//	past_channels ChannelID               -> customer's channel that is gone, with its newest voucher, JSON
//	own_served NodeID                     -> what own leases that are over have paid to a provider, ms u64
//	known     node key or payer           -> since when it has paid for a lease here, ms u64
//	outcomes  LeaseID                     -> how a lease ended, as both sides signed it, while it is told to everybody
//	answers   idempotency key (text)      -> answer of a creating request, 24 h
package store

// Buckets of the store.
const (
	BucketMeta        = "meta"
	BucketOrders      = "orders"
	BucketLeases      = "leases"
	BucketChannels    = "channels"
	BucketDevices     = "devices"
	BucketOwnChannels = "own_channels"
	BucketDebts       = "debts"
	BucketChain       = "chain"
	BucketJobs        = "jobs"
	BucketOffers      = "offers"
	BucketPeers       = "peers"
	BucketEvents      = "events"
	BucketAnswers     = "answers"
	BucketEarned      = "earned"
	BucketTicks       = "ticks"
	BucketShares      = "shares"
	BucketVouchers    = "vouchers"
	BucketOwnTicks    = "own_ticks"
	BucketOwnShares   = "own_shares"
	BucketOwnVouchers = "own_vouchers"
	BucketKnown       = "known"
	BucketPast        = "past"
	BucketPastEnds    = "past_ends"
	BucketOwnPast     = "own_past"
	BucketOwnTimes    = "own_past_times"
	BucketOwnWords    = "own_past_words"
	BucketOwnServed   = "own_served"
	BucketOwnGone     = "own_past_channels"
	BucketGone        = "past_channels"
	BucketOutcomes    = "outcomes"
)

var buckets = []string{
	BucketMeta, BucketOrders, BucketLeases, BucketChannels, BucketOwnChannels, BucketDevices, BucketDebts, BucketChain,
	BucketJobs, BucketOffers, BucketPeers, BucketEvents,
	BucketAnswers, BucketEarned,
	BucketTicks, BucketShares, BucketVouchers, BucketOwnTicks, BucketOwnShares, BucketOwnVouchers, BucketKnown,
	BucketPast, BucketPastEnds, BucketOwnPast, BucketOwnTimes, BucketOwnWords, BucketOwnServed,
	BucketOwnGone, BucketGone, BucketOutcomes,
}

func isBucket(name string) bool {
	_, ok := bucketSums[name]
	return ok
}

// schemaVersion is written at each opening; a newer file is refused. 2: rows are sealed. 3: what a payment writes has
// rows of its own.
const schemaVersion = 3

// Keys of the bucket meta.
const (
	keySchema = "schema"
	keyClean  = "clean"
)
