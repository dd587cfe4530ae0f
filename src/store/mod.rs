//! Our own tables: inbox, lanes, records, attempts, tenants, API keys, bundles, budgets. The only home of their SQL.
