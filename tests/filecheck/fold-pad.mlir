// RUN: imcc opt %s --passes "fold"

builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<4x3x3x3xf32>
  %p = imc.digital "Pad"(%x) {constant_value = 0.0 : f64, mode = "constant", pads = array<i64: 0, 0, 1, 2, 0, 0, 3, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x12x10xf32>
  %y = imc.matmul %p, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [0, 0, 0, 1], dilations = [1, 1]>, activation = "none"} : tensor<1x3x12x10xf32>, tensor<4x3x3x3xf32> -> tensor<1x4x10x9xf32>
  imc.output "y" %y : tensor<1x4x10x9xf32>
}
// CHECK-NOT: Pad
// CHECK:     imc.matmul {{.*}} pads = [1, 2, 3, 1]

// -----

// What is padded with ones stays.
builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<4x3x3x3xf32>
  %p = imc.digital "Pad"(%x) {constant_value = 1.0 : f64, mode = "constant", pads = array<i64: 0, 0, 1, 2, 0, 0, 3, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x12x10xf32>
  %y = imc.matmul %p, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [0, 0, 0, 1], dilations = [1, 1]>, activation = "none"} : tensor<1x3x12x10xf32>, tensor<4x3x3x3xf32> -> tensor<1x4x10x9xf32>
  imc.output "y" %y : tensor<1x4x10x9xf32>
}
// CHECK: imc.digital "Pad"
