"""One thin file per HTTP surface: wire shapes in, a Caller and engine calls, wire shapes out."""
