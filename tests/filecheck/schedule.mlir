// RUN: imcc opt %s --passes "quantize,partition,replicate,place,schedule{grain=3 rule=path patience_ns=50.0 solver_tasks=0}"

// The module gets an order, each product a grain; a grain that stands is kept.
builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %v = imc.weight "v" : tensor<8x16x1x1xf32>
  %h = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "relu"} : tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x8x8xf32>
  %y = imc.matmul %h, %v {window = #imc.window<kernel = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]>, activation = "none", grain = #imc.grain<pieces = 2>} : tensor<1x16x8x8xf32>, tensor<8x16x1x1xf32> -> tensor<1x8x8x8xf32>
  imc.output "y" %y : tensor<1x8x8x8xf32>
}
// CHECK:     builtin.module attributes {imc.order = #imc.order<rule = "path", patience_ns = 50.0>}
// CHECK-NOT: tasks
// CHECK:     imc.matmul {{.*}} grain = #imc.grain<pieces = 3>
// CHECK:     imc.matmul {{.*}} grain = #imc.grain<pieces = 2>

// -----

// An order that stands is kept.
builtin.module attributes {imc.order = #imc.order<rule = "number", patience_ns = 7.0>} {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "relu"} : tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x8x8xf32>
  imc.output "y" %y : tensor<1x16x8x8xf32>
}
// CHECK:     builtin.module attributes {imc.order = #imc.order<rule = "number", patience_ns = 7.0>}
// CHECK-NOT: "path"
