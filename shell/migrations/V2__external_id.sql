-- The payer's own name of a payment.
--
-- Not unique: a payment may have several transactions, for two nodes may propose it at once. They share a coin, so at most one is
-- paid. And a rule that no node keeps would hold up all that is told after the row that breaks it.
-- Rows from before are without the name; a database made anew is told everything.

ALTER TABLE transactions ADD COLUMN external_id text;
CREATE INDEX transactions_by_external_id ON transactions (external_id, id) WHERE external_id IS NOT NULL;

-- What else was proposed and stays, besides the columns that guard_transaction compares.
CREATE FUNCTION refuse_another_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was proposed as transaction % does not change', OLD.txid
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER transactions_keep_external_id BEFORE UPDATE ON transactions FOR EACH ROW
    WHEN (NEW.external_id IS DISTINCT FROM OLD.external_id) EXECUTE FUNCTION refuse_another_proposal();
