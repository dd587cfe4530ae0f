//! The parts put together: settings, server, telemetry, shutdown.
