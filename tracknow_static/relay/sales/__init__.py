"""The ledger of sales: what became of each purchase, made from the stored events afterwards."""
