//! What a route is: the file, the compiled route, the table from request to source, reloading.
