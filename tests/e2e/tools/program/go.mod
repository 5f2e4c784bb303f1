// The one program inside the images that run for real: without arguments it is a pause container.
module platform-gate.invalid/tests/e2e/tools/program

go 1.25.0
