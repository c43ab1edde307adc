package public

import "github.com/gpuai/gpuai/node/indexer/db"

var definitions = []Definition{
	{"announced", "devices of offers that are neither withdrawn nor expired, as their providers say", db.Gossip,
		"gpuai offers --all"},
	{"free", "announced devices that no lease holds, as their providers say", db.Gossip, "gpuai offers --all"},
	{"reachable", "announced devices of rigs that answered this indexer within the last 10 minutes", db.Probes,
		"gpuai net ping PEER"},
	{"leased", "devices that their providers say are taken, where a channel of the provider's payout address " +
		"moved on " +
		"the chain within the last hour", db.Chain, "curl " + Base + "/wallets/PAYOUT"},
	{"proven", "devices with a report of their hardware that was checked within 24 hours; absent: this network " +
		"has no " +
		"such reports yet", db.Source("signed"), "gpuai offers --explain"},
	{"locked", "deposits of channels that are neither paid out nor back at their payers", db.Chain,
		"solana account CHANNEL"},
	{"storage", "lamports that the ledger holds for the channels' accounts beside deposits; they come back", db.Chain,
		"solana account CHANNEL"},
	{"channel", "an account of the escrow program at finality: what it says is the truth, its instructions only " +
		"tell how " +
		"it came to be so", db.Chain, "gpuai channel show CHANNEL"},
	{"returns", "what a payer gets back of a channel, at most: its deposit, less what is settled and refunded. A " +
		"voucher that " +
		"the payee has not brought yet may take of it. With the payee's release at once; else the payer asks to " +
		"close, and " +
		"close_delay after that, at the deadline, anybody may seal it and pay both. The storage comes back with " +
		"reclaim, " +
		"3,000 slots after the channel's open slot at the earliest", db.Chain, "gpuai channel show CHANNEL"},
	{"asks", "prices that are asked per device and hour: percentiles over devices, each at the price of its offer; n " +
		"counts offers", db.Gossip, "gpuai offers MODEL"},
	{"rigs", "providers with a live offer; one with several models counts at each of them", db.Gossip,
		"gpuai offers --all"},
	{"lease", "a lease that ended, as its provider and its customer both signed it, without anything of its " +
		"workload; " +
		"orders may opt out, so there are more", db.Signed, "curl " + Base + "/leases/LEASE"},
	{"settled", "a lease whose channel has paid it: the channel is the one that it names (payer, payee, mint, " +
		"open when " +
		"the lease began), the channel's voucher key signed for its customer, and the amount that the channel has " +
		"settled " +
		"on the chain covers it and all leases of the channel that ended before it", db.Chain,
		"solana account CHANNEL"},
	{"cleared", "the median price of settled leases per device and hour, weighted by device-seconds, each payer " +
		"and each " +
		"payee capped: docs/price-index.md. A lease counts in the hours it ran in, at most its last 24; an " +
		"hour is " +
		"closed 2 days after its end once none of its leases waits for its money. A price of few pairs is their word",
		db.Signed, "curl " + Base + "/gpus/MODEL/cleared"},
	{"jobs", "leases that ended within 24 hours, cost something, and are settled", db.Signed,
		"curl " + Base + "/leases"},
	{"paid", "what the leases cost that jobs counts", db.Signed, "curl " + Base + "/leases"},
	{"wanted", "devices that customers ask for and found no offer for, by their signed Wants that have not " +
		"expired; one " +
		"that would take any of several models counts at each", db.Gossip, "gpuai wants"},
	{"spread", "the lowest ask with a device free, less the highest bid with a price; below 0 they cross", db.Gossip,
		"gpuai book MODEL"},
	{"fill", "the median time from a customer's Want to the lease that it got of that model, over the leases of " +
		"30 days " +
		"whose Want this indexer heard", db.Gossip, "curl " + Base + "/wants"},
	{"utilisation", "leased devices of a model by its announced ones", db.Chain, "curl " + Base + "/gpus/MODEL"},
	{"gossip", "how long Offers of 24 hours were under way, from the time that their provider signed to the time " +
		"that they " +
		"came here: wrong by the difference of the two clocks, which may be 30 s where a provider's is off; what was " +
		"signed before this indexer's start is left out, what seems to come from the future counts as 0", db.Gossip,
		"gpuai net check"},
}
