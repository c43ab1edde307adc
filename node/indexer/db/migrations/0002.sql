CREATE TABLE leases (
	id {text} NOT NULL,
	class {text} NOT NULL,
	mint {text} NOT NULL,
	devices BIGINT NOT NULL,
	rate BIGINT NOT NULL,
	provider {text} NOT NULL,
	customer {text} NOT NULL,
	channel {text} NOT NULL,
	payer {text} NOT NULL,
	payee {text} NOT NULL,
	accepted_at BIGINT NOT NULL,
	ready_at BIGINT NOT NULL,
	ended_at BIGINT NOT NULL,
	billable_ms BIGINT NOT NULL,
	amount BIGINT NOT NULL,
	code {text} NOT NULL,
	fault BIGINT NOT NULL,
	outputs {text} NOT NULL,
	bind BYTEA NOT NULL,
	by_provider BYTEA NOT NULL,
	by_customer BYTEA NOT NULL,
	first_at BIGINT NOT NULL,
	wanted_at BIGINT NOT NULL,
	settled BIGINT NOT NULL,
	PRIMARY KEY (id, provider, customer)
);
CREATE INDEX leases_ended ON leases (ended_at, id, provider, customer);
CREATE INDEX leases_class ON leases (class, ended_at, id, provider, customer);
CREATE INDEX leases_provider ON leases (provider, ended_at, id, provider, customer);
CREATE INDEX leases_customer ON leases (customer, ended_at, id, provider, customer);
CREATE INDEX leases_payer ON leases (payer, ended_at, id, provider, customer);
CREATE INDEX leases_payee ON leases (payee, ended_at, id, provider, customer);
CREATE INDEX leases_channel ON leases (channel, ended_at, id, provider, customer);
CREATE TABLE wants (
	customer {text} NOT NULL,
	slot BIGINT NOT NULL,
	began_at BIGINT NOT NULL,
	class {text} NOT NULL,
	lead BIGINT NOT NULL,
	live BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	classes {text} NOT NULL,
	devices BIGINT NOT NULL,
	mint {text} NOT NULL,
	rate BIGINT NOT NULL,
	duration_s BIGINT NOT NULL,
	until_at BIGINT NOT NULL,
	PRIMARY KEY (customer, slot, began_at, class)
);
CREATE INDEX wants_class ON wants (live, class, mint, rate, customer, slot);
CREATE INDEX wants_until ON wants (live, until_at);
CREATE TABLE cleared (
	class {text} NOT NULL,
	mint {text} NOT NULL,
	at BIGINT NOT NULL,
	price BIGINT NOT NULL,
	n BIGINT NOT NULL,
	pairs BIGINT NOT NULL,
	payers BIGINT NOT NULL,
	payees BIGINT NOT NULL,
	device_ms BIGINT NOT NULL,
	waiting BIGINT NOT NULL,
	PRIMARY KEY (class, mint, at)
);
CREATE TABLE cleared_due (
	class {text} NOT NULL,
	mint {text} NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (class, mint, at)
);
CREATE TABLE delays (
	at BIGINT NOT NULL,
	us BIGINT NOT NULL,
	n BIGINT NOT NULL,
	PRIMARY KEY (at, us)
);
ALTER TABLE channels ADD COLUMN voucher_key {text} NOT NULL DEFAULT '';
ALTER TABLE buckets ADD COLUMN leased BIGINT NOT NULL DEFAULT 0;
ALTER TABLE buckets ADD COLUMN wanted BIGINT NOT NULL DEFAULT 0;
