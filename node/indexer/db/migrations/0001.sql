CREATE TABLE rigs (
	peer {text} PRIMARY KEY,
	seq BIGINT NOT NULL,
	raw BYTEA NOT NULL,
	first_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	live BIGINT NOT NULL,
	payout {text} NOT NULL,
	version {text} NOT NULL,
	country {text} NOT NULL,
	devices BIGINT NOT NULL,
	free BIGINT NOT NULL,
	probed_at BIGINT NOT NULL,
	reached_at BIGINT NOT NULL,
	rtt_us BIGINT NOT NULL
);
CREATE INDEX rigs_expiry ON rigs (live, expires_at);
CREATE INDEX rigs_payout ON rigs (payout);
CREATE TABLE lots (
	peer {text} NOT NULL,
	ix BIGINT NOT NULL,
	mint {text} NOT NULL,
	live BIGINT NOT NULL,
	class {text} NOT NULL,
	name {text} NOT NULL,
	devices BIGINT NOT NULL,
	free BIGINT NOT NULL,
	rate BIGINT NOT NULL,
	vram BIGINT NOT NULL,
	ram BIGINT NOT NULL,
	cpu_milli BIGINT NOT NULL,
	disk BIGINT NOT NULL,
	country {text} NOT NULL,
	payout {text} NOT NULL,
	reached_at BIGINT NOT NULL,
	lead BIGINT NOT NULL,
	head BIGINT NOT NULL,
	PRIMARY KEY (peer, ix, mint)
);
CREATE INDEX lots_class ON lots (live, class, mint, rate, peer, ix);
CREATE INDEX lots_rate ON lots (live, mint, rate, peer, ix);
CREATE TABLE uptime (
	peer {text} NOT NULL,
	day BIGINT NOT NULL,
	probes BIGINT NOT NULL,
	reached BIGINT NOT NULL,
	PRIMARY KEY (peer, day)
);
CREATE TABLE channels (
	id {text} PRIMARY KEY,
	status BIGINT NOT NULL,
	payer {text} NOT NULL,
	payee {text} NOT NULL,
	mint {text} NOT NULL,
	decimals BIGINT NOT NULL,
	deposit BIGINT NOT NULL,
	settled BIGINT NOT NULL,
	paid BIGINT NOT NULL,
	refunded BIGINT NOT NULL,
	deadline BIGINT NOT NULL,
	close_delay_s BIGINT NOT NULL,
	opened_at BIGINT NOT NULL,
	open_slot BIGINT NOT NULL,
	lamports BIGINT NOT NULL,
	slot BIGINT NOT NULL,
	moved_at BIGINT NOT NULL
);
CREATE INDEX channels_payer ON channels (payer, id);
CREATE INDEX channels_payee ON channels (payee, id);
CREATE INDEX channels_moved ON channels (moved_at);
CREATE TABLE chain_tx (
	sig {text} NOT NULL,
	outer_ix BIGINT NOT NULL,
	inner_ix BIGINT NOT NULL,
	slot BIGINT NOT NULL,
	at BIGINT NOT NULL,
	result {text} NOT NULL,
	name {text} NOT NULL,
	channel {text} NOT NULL,
	authority {text} NOT NULL,
	amount BIGINT NOT NULL,
	PRIMARY KEY (sig, outer_ix, inner_ix)
);
CREATE INDEX chain_tx_channel ON chain_tx (channel, slot, sig, outer_ix, inner_ix);
CREATE INDEX chain_tx_slot ON chain_tx (slot, sig);
CREATE TABLE buckets (
	metric {text} NOT NULL,
	key {text} NOT NULL,
	mint {text} NOT NULL,
	step_s BIGINT NOT NULL,
	at BIGINT NOT NULL,
	n BIGINT NOT NULL,
	low BIGINT NOT NULL,
	p10 BIGINT NOT NULL,
	p50 BIGINT NOT NULL,
	p90 BIGINT NOT NULL,
	high BIGINT NOT NULL,
	devices BIGINT NOT NULL,
	free BIGINT NOT NULL,
	PRIMARY KEY (metric, key, mint, step_s, at)
);
CREATE TABLE events (
	seq BIGINT PRIMARY KEY,
	at BIGINT NOT NULL,
	topic {text} NOT NULL,
	data {text} NOT NULL
);
CREATE TABLE digests (
	slot BIGINT NOT NULL,
	what {text} NOT NULL,
	part BIGINT NOT NULL,
	n BIGINT NOT NULL,
	hash {text} NOT NULL,
	PRIMARY KEY (what, slot, part)
);
