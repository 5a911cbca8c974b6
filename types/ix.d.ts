// The declarations of ix name this type of the DOM library, which this project does without.
type StreamPipeOptions = import('node:stream/web').StreamPipeOptions;
