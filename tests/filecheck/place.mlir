// RUN: imcc opt %s --passes "quantize,partition,replicate,place"

// A core for each part, in the order copies, row shares, column shares.
builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none", replication = #imc.replication<copies = 4, grid = [2, 2]>} : tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x8x8xf32>
  imc.output "y" %y : tensor<1x16x8x8xf32>
}
// Four quarters of the picture, four quarters of the 14 x 12 mesh.
// CHECK: imc.matmul {{.*}} placement = #imc.placement<cores = [{{[0-9]+, [0-9]+, [0-9]+, [0-9]+}}]>

// -----

// What stands is kept.
builtin.module {
  %x = imc.input "x" : tensor<1x3x8x8xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none", replication = #imc.replication<copies = 2, grid = [2, 1]>, placement = #imc.placement<cores = [9, 4]>} : tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x8x8xf32>
  imc.output "y" %y : tensor<1x16x8x8xf32>
}
// CHECK:     imc.matmul {{.*}} placement = #imc.placement<cores = [9, 4]>
// CHECK-NOT: imc.grain
