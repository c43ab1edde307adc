INSERT INTO channels (id, status, payer, payee, mint, decimals, deposit, settled, paid, refunded, deadline, close_delay_s,
	opened_at, open_slot, lamports, slot, moved_at, voucher_key) VALUES ('channel3', 255, 'wallet1', 'payout1',
	'So11111111111111111111111111111111111111112', 9, 1000, 640, 640, 360, 0, 3600, 1799990000, 18000, 0, 18100,
	1799999000000, 'key');
INSERT INTO chain_tx (sig, outer_ix, inner_ix, slot, at, result, name, channel, authority, amount) VALUES ('sig3', 1, -1,
	18100, 1799999000000, 'ok', 'claim', 'channel3', '', 640);
