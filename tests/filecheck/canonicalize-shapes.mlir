// RUN: imcc opt %s --passes "canonicalize"

builtin.module {
  %x = imc.input "x" : tensor<1x4x6x6xf32>
  %0 = imc.digital "Flatten"(%x) {axis = 1 : i64} : (tensor<1x4x6x6xf32>) -> tensor<1x144xf32>
  %1 = imc.digital "Unsqueeze"(%0) {axes = array<i64: 1>} : (tensor<1x144xf32>) -> tensor<1x1x144xf32>
  imc.output "y" %1 : tensor<1x1x144xf32>
}
// CHECK:      [[X:%.*]] = imc.input "x"
// CHECK-NEXT: imc.digital "Reshape"([[X]]) {shape = array<i64: 1, 1, 144>}
// CHECK-NEXT: imc.output

// -----

builtin.module {
  %x = imc.input "x" : tensor<2x3x4xf32>
  %0 = imc.digital "Transpose"(%x) {perm = array<i64: 1, 2, 0>} : (tensor<2x3x4xf32>) -> tensor<3x4x2xf32>
  %1 = imc.digital "Transpose"(%0) {perm = array<i64: 2, 0, 1>} : (tensor<3x4x2xf32>) -> tensor<2x3x4xf32>
  %2 = imc.digital "Identity"(%1) {} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  imc.output "y" %2 : tensor<2x3x4xf32>
}
// CHECK:      [[X:%.*]] = imc.input "x"
// CHECK-NEXT: imc.output "y" [[X]]

// -----

builtin.module {
  %x = imc.input "x" : tensor<1x4x6x6xf32>
  %0 = imc.digital "ReduceMean"(%x) {axes = array<i64: 2, 3>, keepdims = 0 : i64} {source = #imc.source<node = "mean", op_type = "ReduceMean">} : (tensor<1x4x6x6xf32>) -> tensor<1x4xf32>
  imc.output "y" %0 : tensor<1x4xf32>
}
// CHECK:      [[P:%.*]] = imc.digital "GlobalAveragePool"{{.*}} -> tensor<1x4x1x1xf32>
// CHECK-NEXT: imc.digital "Reshape"([[P]]) {shape = array<i64: 1, 4>}
