// RUN: imcc opt %s --passes "canonicalize"

builtin.module {
  %x = imc.input "x" : tensor<1x4xf32>
  %w = imc.weight "w" : tensor<4x6xf32>
  %h = imc.matmul %x, %w {window = #imc.window<kernel = [], strides = [], pads = [], dilations = []>, activation = "none", tiling = #imc.tiling<rows = 1, columns = 1, slices = 4>} : tensor<1x4xf32>, tensor<4x6xf32> -> tensor<1x6xf32>
  %y = imc.digital "Relu"(%h) {} : (tensor<1x6xf32>) -> tensor<1x6xf32>
  imc.output "y" %y : tensor<1x6xf32>
}
// A tiling that is decided stays decided.
// CHECK:     imc.matmul {{.*}} activation = "relu", tiling = #imc.tiling<rows = 1, columns = 1, slices = 4>
// CHECK-NOT: Relu

// -----

// The codes of the product are decided: nothing may change what they stand for.
builtin.module {
  %x = imc.input "x" : tensor<1x4xf32>
  %w = imc.weight "w" : tensor<4x6xf32>
  %h = imc.matmul %x, %w {window = #imc.window<kernel = [], strides = [], pads = [], dilations = []>, activation = "none", quant = #imc.quant<scale = 0.5, zero_point = 0>} : tensor<1x4xf32>, tensor<4x6xf32> -> tensor<1x6xf32>
  %y = imc.digital "Relu"(%h) {} : (tensor<1x6xf32>) -> tensor<1x6xf32>
  imc.output "y" %y : tensor<1x6xf32>
}
// CHECK: activation = "none"
// CHECK: imc.digital "Relu"
