"""Where passages live: `edge` in the process, `qdrant` on a server, `shared` between the processes of one machine."""
