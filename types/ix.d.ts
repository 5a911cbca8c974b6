// The declarations of ix use this type of the DOM library, which this project does not include.
type StreamPipeOptions = import('node:stream/web').StreamPipeOptions;
