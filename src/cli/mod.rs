//! The command line: one file per command; the only place that prints.

pub mod check;
pub mod check_signature;
pub mod deliveries;
mod delivery_text;
pub mod demo;
mod demo_programme;
mod demo_text;
pub mod explain;
mod explained;
pub mod flags;
pub mod integrations;
pub mod keys;
pub mod new;
mod onboarding_text;
pub mod output;
pub mod run;
pub mod schema;
mod secret_input;
pub mod secrets;
pub mod send;
pub mod serve;
pub mod simulate;
pub mod sources;
pub mod tables;
pub mod tenants;
pub mod test;
mod test_report;
mod test_variants;
mod test_watch;
pub mod trial;
pub mod users;
mod waits_text;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the server: receive webhooks, write rows
    Serve(serve::Serve),
    /// Tell all problems of the route files
    Check(check::Check),
    /// Print the JSON Schema of a route file, for editors
    Schema(schema::Schema),
    /// Write a route file and its tests to start from, guessed from captured requests
    New(new::New),
    /// Run the tests beside route files, with recorded APIs and a throwaway database
    Test(test::Test),
    /// Print a route file with every default filled in, and what follows from it
    Explain(explain::Explain),
    /// Take one request through a route file without writing: every step, the calls, the rows
    Try(trial::Try),
    /// Verify a saved request with the real secrets, and say what is wrong with its signature
    CheckSignature(check_signature::CheckSignature),
    /// Everything at once, offline: one webhook becomes rows
    Demo(demo::Demo),
    /// Send a sample to a running server with correct credentials, and say what became of it
    Send(send::Send),
    /// Add and list tenants, the customers on whose behalf something arrives
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Issue, list, replace and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Set up sources for tenants: the URL to hand out, and the tenant's fields and credentials
    #[command(subcommand)]
    Integrations(integrations::Integrations),
    /// Say who may sign in to the portal
    #[command(subcommand)]
    Users(users::Users),
    /// Replace the master key
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Look at what arrived, run it again, give it up
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// How every source is doing
    #[command(subcommand)]
    Sources(sources::Sources),
    /// Compare the tables with what the routes expect, or make what is missing
    Tables(tables::Tables),
    /// Serve a folder of JSON files as a provider's API, offline
    Simulate(simulate::Simulate),
}
