// RUN: imcc opt %s --passes "quantize,partition,replicate"

// Copies share the picture; a grid has as many places as there are copies.
builtin.module {
  %x = imc.input "x" : tensor<1x3x32x32xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none"} : tensor<1x3x32x32xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x32x32xf32>
  imc.output "y" %y : tensor<1x16x32x32xf32>
}
// CHECK:     imc.matmul {{.*}} replication = #imc.replication<copies = {{[0-9][0-9]+}}, {{.*}}grid = [
// CHECK-NOT: imc.placement

// -----

// What stands is kept, and the other layer is decided beside it.
builtin.module {
  %x = imc.input "x" : tensor<1x3x32x32xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %v = imc.weight "v" : tensor<8x16x1x1xf32>
  %h = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "relu", replication = #imc.replication<copies = 6, grid = [3, 2], unroll = 2>} : tensor<1x3x32x32xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x32x32xf32>
  %y = imc.matmul %h, %v {window = #imc.window<kernel = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]>, activation = "none"} : tensor<1x16x32x32xf32>, tensor<8x16x1x1xf32> -> tensor<1x8x32x32xf32>
  imc.output "y" %y : tensor<1x8x32x32xf32>
}
// CHECK: imc.matmul {{.*}} replication = #imc.replication<copies = 6, grid = [3, 2], unroll = 2>
// CHECK: imc.matmul {{.*}} replication = #imc.replication<copies =

// -----

// Grouped windows are not unrolled.
builtin.module {
  %x = imc.input "x" : tensor<1x30x8x8xf32>
  %w = imc.weight "w" : tensor<30x1x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], groups = 30>, activation = "none"} : tensor<1x30x8x8xf32>, tensor<30x1x3x3xf32> -> tensor<1x30x8x8xf32>
  imc.output "y" %y : tensor<1x30x8x8xf32>
}
// CHECK:     imc.matmul {{.*}} #imc.replication<copies =
// CHECK-NOT: unroll
