// RUN: imcc opt %s --passes "fold"

builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<4x3x3x3xf32>
  %scale = imc.weight "scale" : tensor<4xf32>
  %shift = imc.weight "shift" : tensor<4xf32>
  %mean = imc.weight "mean" : tensor<4xf32>
  %var = imc.weight "var" : tensor<4xf32>
  %h = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none", source = #imc.source<node = "conv", op_type = "Conv">} : tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32> -> tensor<1x4x8x8xf32>
  %y = imc.digital "BatchNormalization"(%h, %scale, %shift, %mean, %var) {epsilon = 1.0e-05 : f64} {source = #imc.source<node = "bn", op_type = "BatchNormalization">} : (tensor<1x4x8x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  imc.output "y" %y : tensor<1x4x8x8xf32>
}

// VALUES: var = 2.0
// CHECK:      builtin.module {
// CHECK-NEXT:   [[X:%.*]] = imc.input "x"
// CHECK-NEXT:   [[W:%.*]] = imc.weight "w.folded" : tensor<4x3x3x3xf32>
// CHECK-NEXT:   [[B:%.*]] = imc.weight "conv.bias.folded" : tensor<4xf32>
// CHECK-NEXT:   [[Y:%.*]] = imc.matmul [[X]], [[W]] bias [[B]] {
// CHECK-SAME:   source = #imc.source<node = "conv", op_type = "Conv">
// CHECK-NEXT:   imc.output "y" [[Y]]
// CHECK-NEXT: }
